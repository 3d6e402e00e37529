"""Data sets to try a stack on."""

import os
from pathlib import Path
from typing import Literal, overload

import pandas as pd
from sklearn.utils import Bunch

_TITANIC = "titanic.csv"
_TITANIC_TEXT = ("name", "sex", "ticket", "cabin", "embarked", "boat", "home.dest")
_TITANIC_WHOLE = ("pclass", "survived", "sibsp", "parch")
_TITANIC_REAL = ("age", "fare", "body")
_TITANIC_OUTCOMES = ("survived", "boat", "body")

_TITANIC_DESCR = """\
Titanic passengers
------------------

The 1,309 passengers of the Titanic: 500 survived, 809 died. OpenML data set 40945,
"titanic3" of Vanderbilt Biostatistics (Frank E. Harrell Jr. and Thomas Cason).

    ==========  =======  =======  ================================================
    column      type     missing  meaning
    ==========  =======  =======  ================================================
    pclass      integer        0  class of the ticket: 1, 2 or 3
    survived    integer        0  the target: 1 survived, 0 died
    name        text           0  family name, title, given names
    sex         text           0  "female" or "male"
    age         real         263  years; babies have fractions
    sibsp       integer        0  siblings and spouses aboard
    parch       integer        0  parents and children aboard
    ticket      text           0  ticket number; parties share one
    fare        real           1  pounds, for everyone on the ticket
    cabin       text        1014  cabin or cabins
    embarked    text           2  "C"herbourg, "Q"ueenstown or "S"outhampton
    boat        text         823  lifeboat: an outcome, only in `frame`
    body        real        1188  number of the recovered body: an outcome, only in `frame`
    home.dest   text         564  home and destination
    ==========  =======  =======  ================================================

`boat` and `body` were known only after the sinking and all but give the target away;
`data` leaves them out.
"""


@overload
def load_titanic(*, data_home: str | os.PathLike[str] | None = None, return_X_y: Literal[False] = False) -> Bunch: ...


@overload
def load_titanic(
    *, data_home: str | os.PathLike[str] | None = None, return_X_y: Literal[True]
) -> tuple[pd.DataFrame, pd.Series]: ...


def load_titanic(
    *, data_home: str | os.PathLike[str] | None = None, return_X_y: bool = False
) -> Bunch | tuple[pd.DataFrame, pd.Series]:
    """Load the Titanic passengers (binary classification).

    The columns are of mixed type and have gaps: a stack needs preprocessing for
    them, such as that of `stackkit.default_learners`.

    =================   =========================
    Classes                                     2
    Samples per class                  [809, 500]
    Samples total                            1309
    Features            11: text, integer or real
    =================   =========================

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder that holds ``titanic.csv``; no other place is then tried. By
        default the folder that the environment variable ``STACKKIT_DATA``
        names, if it has the file, else the copy that comes with stackkit.

    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : DataFrame of shape (1309, 11)
            The features. Without ``boat`` and ``body``, which were known only
            after the sinking and would leak the target.
        target : Series of shape (1309,)
            ``survived``: 1 for who survived, 0 for who died.
        frame : DataFrame of shape (1309, 14)
            All columns of the file, those left out of `data` included.
        feature_names : list of str
            The columns of `data`.
        target_names : list of str
            What 0 and 1 of `target` mean.
        DESCR : str
            The columns described.

    (data, target) : tuple if ``return_X_y`` is True

    Raises
    ------
    FileNotFoundError
        If ``titanic.csv`` is in none of the places; the error names them all.

    Examples
    --------
    >>> from stackkit.datasets import load_titanic
    >>> titanic = load_titanic()
    >>> titanic.data.shape
    (1309, 11)
    >>> titanic.target.value_counts().to_dict()
    {0: 809, 1: 500}
    >>> X, y = load_titanic(return_X_y=True)
    >>> X.loc[0, "name"], int(y[0])
    ('Allen, Miss. Elisabeth Walton', 1)
    """
    frame = pd.read_csv(
        _find(_TITANIC, data_home),
        dtype=dict.fromkeys(_TITANIC_TEXT, str)
        | dict.fromkeys(_TITANIC_WHOLE, "int64")
        | dict.fromkeys(_TITANIC_REAL, "float64"),
        keep_default_na=False,  # only an empty cell is missing: a passenger may be called "NA"
        na_values=[""],
    )
    data = frame.drop(columns=list(_TITANIC_OUTCOMES))
    target = frame["survived"].copy()
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        frame=frame,
        feature_names=list(data.columns),
        target_names=["died", "survived"],
        DESCR=_TITANIC_DESCR,
    )


def _find(name: str, data_home: str | os.PathLike[str] | None) -> Path:
    """Path of the data file `name`: in `data_home` if given, else in the first usual place that has it."""
    places = [Path(data_home).expanduser() / name] if data_home is not None else _usual_places(name)
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"{name} was not found. Tried: {', '.join(map(str, places))}. "
        f"Put the file in one of these places, or in a folder that you name with data_home=... "
        f"or the environment variable STACKKIT_DATA."
    )


def _usual_places(name: str) -> list[Path]:
    package = Path(__file__).resolve().parent
    named = os.environ.get("STACKKIT_DATA")
    return [
        *([Path(named).expanduser() / name] if named else []),
        package / "data" / name,  # installed: the wheel carries a copy
        package.parent / "data" / name,  # checkout
    ]
