"""Data sets to try a stack on."""

import gzip
import math
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import fetch_openml
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

_MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_MNIST_PIXELS = (28, 28)
_MNIST_CLASSES = 10
_MNIST_TRAIN = 60_000  # in the full data, whose order OpenML keeps; files say for themselves how much they hold

_MNIST_DESCR = """\
MNIST handwritten digits
------------------------

70,000 grey pictures of 28 x 28 pixels, each of one digit: 60,000 to train with and 10,000 to
test with, by other writers. Pixels go from 0, the paper, to 255, the ink. Yann LeCun, Corinna
Cortes and Christopher J. C. Burges, "The MNIST database of handwritten digits", from NIST's
Special Databases 1 and 3; OpenML data set 554, "mnist_784", is the same in the same order.

    =====  ========  ======
    digit  training    test
    =====  ========  ======
    0          5923     980
    1          6742    1135
    2          5958    1032
    3          6131    1010
    4          5842     982
    5          5421     892
    6          5918     958
    7          6265    1028
    8          5851     974
    9          5949    1009
    =====  ========  ======
"""

_OTTO = "train.csv"
_OTTO_FEATURES = [f"feat_{i}" for i in range(1, 94)]
_OTTO_CLASSES = [f"Class_{i}" for i in range(1, 10)]
_OTTO_FILE = (
    f"the file {_OTTO}, unpacked or with .gz after the name, from "
    "https://www.kaggle.com/c/otto-group-product-classification-challenge (Kaggle wants an account, so it cannot be "
    "fetched for you)"
)

_OTTO_DESCR = """\
Otto products
-------------

61,878 products of the Otto Group, each described by 93 counts of which nothing is told but
their names, feat_1 to feat_93; four of five are zero, the largest is 352. The training file of
the "Otto Group Product Classification Challenge", Kaggle, 2015, which was scored by log-loss.

    =======  ========
    class    products
    =======  ========
    Class_1      1929
    Class_2     16122
    Class_3      8004
    Class_4      2691
    Class_5      2739
    Class_6     14135
    Class_7      2839
    Class_8      8464
    Class_9      4955
    =======  ========

The rows are sorted by class: shuffle before splitting. So `id`, which numbers them, all but
gives the target away; `data` leaves it out.
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
        _titanic_path(data_home),
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


def _titanic_path(data_home: str | os.PathLike[str] | None) -> Path:
    package = Path(__file__).resolve().parent  # the wheel carries a copy in it; a checkout has one beside it
    folders = _homes(data_home, package / "data", package.parent / "data")
    paths = _find([_TITANIC], folders)
    if paths is None:
        raise _missing(f"{_TITANIC} was not found", [folder / _TITANIC for folder in folders], "the file")
    return paths[0]


@overload
def load_mnist(*, data_home: str | os.PathLike[str] | None = None, return_X_y: Literal[False] = False) -> Bunch: ...


@overload
def load_mnist(
    *, data_home: str | os.PathLike[str] | None = None, return_X_y: Literal[True]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]: ...


def load_mnist(
    *, data_home: str | os.PathLike[str] | None = None, return_X_y: bool = False
) -> Bunch | tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Load the MNIST handwritten digits (classification of images).

    The first 60,000 images are those to train with, the last 10,000 those to
    test with.

    =================   ======================
    Classes                                 10
    Samples per class             6313 to 7877
    Samples total                        70000
    Features            28 x 28 grey, 0 to 255
    =================   ======================

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder that holds the four original files, or has a folder ``mnist``
        that does; no other place is then tried. By default the folder that the
        environment variable ``STACKKIT_DATA`` names, or ``data`` in the working
        directory, whichever has them; else they are fetched from OpenML, once:
        :func:`sklearn.datasets.fetch_openml` keeps a copy.

    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : uint8 ndarray of shape (70000, 28, 28)
            The images: 0 is the paper, 255 the ink.
        target : int64 ndarray of shape (70000,)
            The digits.
        train : slice
            The rows to train with: ``slice(0, 60000)``.
        test : slice
            The rows to test with: ``slice(60000, 70000)``.
        target_names : list of str
            The digits as text.
        DESCR : str
            Where the images come from, and how many there are of each digit.

    (data, target) : tuple if ``return_X_y`` is True

    Raises
    ------
    FileNotFoundError
        If the files are in none of the places and cannot be fetched; the error
        names them all. With `data_home` nothing is fetched.
    ValueError
        If a file is damaged, or is not one of MNIST's.

    Notes
    -----
    The files are ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
    ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, unpacked or with
    ``.gz`` after the name. How many images there are is read from them, so
    shorter files of the same format can be loaded too.

    Examples
    --------
    >>> from stackkit.datasets import load_mnist
    >>> mnist = load_mnist()  # doctest: +SKIP
    >>> mnist.data.shape, mnist.data.dtype  # doctest: +SKIP
    ((70000, 28, 28), dtype('uint8'))
    >>> X_train, y_train = mnist.data[mnist.train], mnist.target[mnist.train]  # doctest: +SKIP
    >>> len(X_train), y_train[:5].tolist()  # doctest: +SKIP
    (60000, [5, 0, 4, 1, 9])
    """
    homes = _homes(data_home, Path.cwd() / "data")
    folders = [folder for home in homes for folder in (home / "mnist", home)]
    paths = _find(_MNIST, folders)
    if paths is not None:
        images, labels, n_train = _read_mnist(paths)
    elif data_home is None:
        images, labels, n_train = _fetch_mnist(folders)
    else:
        raise _mnist_missing("MNIST was not found", folders)
    if return_X_y:
        return images, labels
    return Bunch(
        data=images,
        target=labels,
        train=slice(0, n_train),
        test=slice(n_train, len(images)),
        target_names=[str(digit) for digit in range(_MNIST_CLASSES)],
        DESCR=_MNIST_DESCR,
    )


def _read_mnist(paths: Sequence[Path]) -> tuple[NDArray[np.uint8], NDArray[np.int64], int]:
    """Images, labels and the number of those to train with, of the four files in the order of `_MNIST`."""
    train_images, test_images = (_read_idx(path, "images", _MNIST_PIXELS) for path in paths[::2])
    train_labels, test_labels = (_read_idx(path, "labels", ()) for path in paths[1::2])
    for images, labels, at in ((train_images, train_labels, 0), (test_images, test_labels, 2)):
        if len(images) != len(labels):
            raise ValueError(
                f"{paths[at]} and {paths[at + 1]} must hold as many images as labels; "
                f"got {len(images)} and {len(labels)}. They belong to different data sets: download both again."
            )
        if labels.max(initial=0) >= _MNIST_CLASSES:
            raise ValueError(
                f"{paths[at + 1]} must hold labels from 0 to {_MNIST_CLASSES - 1}; got {labels.max()}. "
                f"It belongs to another data set: download MNIST's."
            )
    digits = np.concatenate([train_labels, test_labels]).astype(np.int64)
    return np.concatenate([train_images, test_images]), digits, len(train_images)


def _read_idx(path: Path, what: str, shape_of_one: tuple[int, ...]) -> NDArray[np.uint8]:
    """Array in an IDX file: two zero bytes, the type (8: bytes), the number of axes, their lengths, the values."""
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} cannot be unpacked: {error} Download it again.") from error
    magic = bytes([0, 0, 8, 1 + len(shape_of_one)])
    if not content.startswith(magic):
        got = content[:4].hex(" ") or "an empty file"
        raise ValueError(f"{path} must be an IDX file of {what}, which begins with {magic.hex(' ')}; got {got}.")
    header = 4 + 4 * magic[3]
    if len(content) < header:
        raise ValueError(f"{path} must have a header of {header} bytes; got {len(content)} bytes. Download it again.")
    shape = struct.unpack(f">{magic[3]}I", content[4:header])
    if shape[1:] != shape_of_one:
        raise ValueError(f"{path} must hold {what} of {_times(shape_of_one)} pixels; got {_times(shape[1:])}.")
    if len(content) - header != math.prod(shape):
        raise ValueError(
            f"{path} must hold {_times(shape)} bytes after its header, as that says; "
            f"got {len(content) - header} of {math.prod(shape)}. Download it again."
        )
    return np.frombuffer(content, np.uint8)[header:].reshape(shape)


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _fetch_mnist(tried: Sequence[Path]) -> tuple[NDArray[np.uint8], NDArray[np.int64], int]:
    try:
        fetched = fetch_openml("mnist_784", version=1, as_frame=False, parser="pandas")
    except Exception as error:
        because = f"MNIST was not found, and could not be fetched from OpenML ({type(error).__name__}: {error})"
        raise _mnist_missing(because, tried) from error
    images = fetched.data.astype(np.uint8).reshape(-1, *_MNIST_PIXELS)
    return images, fetched.target.astype(np.int64), _MNIST_TRAIN


def _mnist_missing(problem: str, tried: Sequence[Path]) -> FileNotFoundError:
    return _missing(problem, tried, f"the files {', '.join(_MNIST)}, unpacked or with .gz after the name,")


@overload
def load_otto(*, data_home: str | os.PathLike[str] | None = None, return_X_y: Literal[False] = False) -> Bunch: ...


@overload
def load_otto(
    *, data_home: str | os.PathLike[str] | None = None, return_X_y: Literal[True]
) -> tuple[pd.DataFrame, pd.Series]: ...


def load_otto(
    *, data_home: str | os.PathLike[str] | None = None, return_X_y: bool = False
) -> Bunch | tuple[pd.DataFrame, pd.Series]:
    """Load the products of the Otto challenge (classification by counts).

    =================   ================
    Classes                            9
    Samples per class      1929 to 16122
    Samples total                  61878
    Features            93 counts, 0-352
    =================   ================

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder that holds Kaggle's ``train.csv``, or has a folder ``otto`` that
        does; no other place is then tried. By default the folder ``otto`` in
        the folder that the environment variable ``STACKKIT_DATA`` names, or in
        ``data`` in the working directory, whichever has the file. It is never
        fetched: Kaggle wants an account.

    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : DataFrame of shape (61878, 93)
            The counts. Without ``id``, by which the rows are sorted, and the
            classes too.
        target : Series of shape (61878,)
            The classes as the file names them, "Class_1" to "Class_9".
        frame : DataFrame of shape (61878, 95)
            All columns of the file.
        feature_names : list of str
            The columns of `data`.
        target_names : list of str
            The classes.
        DESCR : str
            Where the products come from, and how many there are of each class.

    (data, target) : tuple if ``return_X_y`` is True

    Raises
    ------
    FileNotFoundError
        If the file is in none of the places; the error names them all.
    ValueError
        If the file is damaged, or is not Otto's training file.

    Notes
    -----
    The file may be unpacked or have ``.gz`` after its name. How many rows there
    are is read from it, so a part of it can be loaded too.

    Examples
    --------
    >>> from stackkit.datasets import load_otto
    >>> otto = load_otto()  # doctest: +SKIP
    >>> otto.data.shape  # doctest: +SKIP
    (61878, 93)
    >>> X, y = load_otto(return_X_y=True)  # doctest: +SKIP
    >>> y.value_counts().idxmax()  # doctest: +SKIP
    'Class_2'
    """
    homes = _homes(data_home, Path.cwd() / "data")
    # Many a data set is in a file train.csv: outside of a folder `otto`, only the caller can know that it is this one.
    folders = [*(home / "otto" for home in homes), *(homes if data_home is not None else [])]
    paths = _find([_OTTO], folders)
    if paths is None:
        raise _missing("Otto's training file was not found", [folder / _OTTO for folder in folders], _OTTO_FILE)
    frame = _read_otto(paths[0])
    data, target = frame[_OTTO_FEATURES].copy(), frame["target"].copy()
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        frame=frame,
        feature_names=list(_OTTO_FEATURES),
        target_names=list(_OTTO_CLASSES),
        DESCR=_OTTO_DESCR,
    )


def _read_otto(path: Path) -> pd.DataFrame:
    columns = ["id", *_OTTO_FEATURES, "target"]
    try:
        frame = pd.read_csv(path, dtype=dict.fromkeys(columns[:-1], "int64") | {"target": str})
    except (OSError, EOFError, zlib.error, ValueError) as error:  # pandas' own errors are ValueErrors
        raise ValueError(f"{path} cannot be read: {error}. Download it again.") from error
    if list(frame.columns) != columns:
        absent = [column for column in columns if column not in frame.columns]
        raise ValueError(
            f"{path} must have the columns id, feat_1 to feat_93 and target, in this order; got {frame.shape[1]} "
            f"columns{f', without {absent[0]}' if absent else ''}. It is not Otto's training file."
        )
    unknown = frame.loc[~frame["target"].isin(_OTTO_CLASSES), "target"]
    if len(unknown):
        raise ValueError(
            f"{path} must have the targets Class_1 to Class_9; got {unknown.iloc[0]!r} in row {unknown.index[0]}. "
            "Download it again."
        )
    return frame


def _missing(problem: str, tried: Sequence[Path], files: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"{problem}. Tried: {', '.join(map(str, tried))}. "
        f"Put {files} in one of these places, or in a folder that you name with data_home=... "
        f"or the environment variable STACKKIT_DATA."
    )


def _find(names: Sequence[str], folders: Sequence[Path]) -> list[Path] | None:
    """Paths of the files `names`, plain or with .gz, in the first folder that has them all; None if none has."""
    for folder in folders:
        paths = [path if (path := folder / name).is_file() else folder / f"{name}.gz" for name in names]
        if all(path.is_file() for path in paths):
            return paths
    return None


def _homes(data_home: str | os.PathLike[str] | None, *usual: Path) -> list[Path]:
    """Folders to look in: `data_home` alone if given, else that of STACKKIT_DATA, if set, and the usual ones."""
    if data_home is not None:
        return [Path(data_home).expanduser()]
    named = os.environ.get("STACKKIT_DATA")
    return [*([Path(named).expanduser()] if named else []), *usual]
