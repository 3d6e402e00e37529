"""A fitted model in a file, without pickle: `save` and `load`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any
from warnings import catch_warnings, simplefilter, warn

from sklearn.exceptions import InconsistentVersionWarning

from stackkit._persistence.archive import Archive, read_archive, write_archive
from stackkit._persistence.audit import Refused, full_name
from stackkit._persistence.object_graph import Reader, Writer
from stackkit._utils import LIBRARIES, versions
from stackkit.exceptions import ModelFileError, OtherVersionsWarning

_ROOT = "model.skops"
MANY = 3  # names to trust, for which a package is shorter


def save(model: Any, path: str | Path) -> Path:
    """Write a model to a file, from which `load` makes it again, bit for bit, without running what it finds there.

    Everything of stackkit, scikit-learn, XGBoost, LightGBM and CatBoost can be saved, fitted or not, alone or in one
    another. Of your own classes and functions the file has the names only: they must be importable, and whoever loads
    the file has to name them.

    Parameters
    ----------
    model : estimator
        Such as a fitted :class:`~stackkit.StackingModel`, its :meth:`~stackkit.StackingModel.compact` form, or a
        Pipeline around one.
    path : str or Path
        The file, such as "titanic.stackkit"; written whole or not at all.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    TypeError
        Something in the model cannot be saved: a lambda, a raw skorch net, an object that only pickle could
        describe. The message says where it stands and what to do.

    See Also
    --------
    load : What reads it.

    Notes
    -----
    The file is a zip archive: a manifest (format number, versions of the libraries, size and SHA-256 of each member),
    structure and scikit-learn's parts as written by skops, weights of networks as ``.npz``, XGBoost's models as
    ``.ubj``, LightGBM's as ``.txt``, CatBoost's as ``.cbm``. A StackingModel's ``memory``, a folder of this machine,
    and scikit-learn's callbacks are left out.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import StackingModel, load, save
    >>> X, y = load_iris(return_X_y=True)
    >>> model = StackingModel([("knn", KNeighborsClassifier()), ("bayes", GaussianNB())]).fit(X, y)
    >>> with TemporaryDirectory() as folder:
    ...     same = load(save(model, f"{folder}/iris.stackkit"))
    >>> bool((same.predict_proba(X) == model.predict_proba(X)).all())
    True
    """
    return write_model(model, Path(path), {})


def load(path: str | Path, trusted: Sequence[str] | None = None) -> Any:
    """Read a model from a file that `save` wrote.

    No code in the file is run, whoever wrote it: there is no pickle in it, and only classes and functions from a
    fixed list are used (those of stackkit, scikit-learn and XGBoost, and NumPy's and SciPy's functions of numbers),
    and those that you name.

    Parameters
    ----------
    path : str or Path
        The file.
    trusted : list of str, optional
        Names of further classes and functions that the model may use, such as ``["my_package.learners.MyLearner"]``,
        or ``["my_package.*"]`` for all that a package defines itself. Their modules are imported and their code is run:
        name what you know. Others are not even imported.

    Returns
    -------
    estimator
        The model; its predictions are bit for bit those of the one that was saved.

    Raises
    ------
    ModelFileError
        The file is damaged, of another format, or asks for classes that are not trusted; the message says which.
    OSError
        The file cannot be read.

    Warns
    -----
    OtherVersionsWarning
        It was saved with other versions of the libraries.

    See Also
    --------
    save : What writes it, with an example.

    Notes
    -----
    A model can still be wrong on purpose, or take long: what is guaranteed is that loading it runs nothing. The
    numbers in it reach XGBoost's and scikit-learn's native code. Those of decision trees, search trees and sparse
    matrices are checked first; those of XGBoost, LightGBM, CatBoost and of support vector machines are not: use
    such models from strangers only where a crash does no harm.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from stackkit import LogPoolClassifier, load, save
    >>> with TemporaryDirectory() as folder:
    ...     load(save(LogPoolClassifier(ridge=0.5), f"{folder}/pool.stackkit"))
    LogPoolClassifier(ridge=0.5)
    """
    if trusted is not None and (isinstance(trusted, str) or not all(isinstance(name, str) for name in trusted)):
        raise TypeError(
            f"The 'trusted' parameter must be a list of names such as ['my_package.MyLearner']; got {trusted!r}."
        )
    archive = read_archive(Path(path))
    changed = other_versions(archive)
    if changed:
        warn(
            f"{path} was saved with other versions of {', '.join(changed)}: it may predict something else.",
            OtherVersionsWarning,
            stacklevel=2,
        )
    return built(Path(path), archive, trusted or ())


def write_model(model: Any, path: Path, facts: Mapping[str, Any]) -> Path:
    """`save`, with more facts about the model in the manifest."""
    from stackkit._persistence.codecs import REGISTRY  # noqa: PLC0415 - it knows everything, and so would whoever imports this

    writer = Writer(REGISTRY)
    try:
        writer.members[_ROOT] = writer.dumped(model, "model")
    except RecursionError as error:
        raise TypeError("model cannot be saved: something in it holds itself, or is nested too deep.") from error
    known = {**facts, "model": type(model).__name__, "versions": versions(), "foreign": sorted(writer.foreign)}
    write_archive(path, known, writer.members)
    return path


def built(path: Path, archive: Archive, trusted: Sequence[str] = ()) -> Any:
    """The model of a file that has been read."""
    from stackkit._persistence.codecs import REGISTRY  # noqa: PLC0415

    try:
        foreign = _accepted(archive.facts.get("foreign"), trusted)
        with catch_warnings():
            simplefilter("ignore", InconsistentVersionWarning)  # said already, once for all
            return Reader(REGISTRY, archive.members, foreign).fetch(_ROOT)
    except Refused as refusal:
        raise ModelFileError(path, str(refusal)) from refusal
    except Exception as error:
        cause = f"cannot be put together with these versions of the libraries ({type(error).__name__}: {error})"
        raise ModelFileError(path, cause) from error


def other_versions(archive: Archive) -> list[str]:
    """Of what the model was saved with, in words."""
    told, here = archive.facts.get("versions"), versions()
    theirs = {name: told[name] for name in ("python", *LIBRARIES) if name in told} if isinstance(told, dict) else {}
    return [f"{name} ({old!r}, here {here.get(name)!r})" for name, old in theirs.items() if old != here.get(name)]


def _accepted(foreign: Any, trusted: Sequence[str]) -> frozenset[str]:
    """The names that the file needs, if all of them are trusted."""
    if not isinstance(foreign, list) or not all(isinstance(name, str) for name in foreign):
        raise Refused("has a manifest that does not list the names to trust")
    by_package = {name for name in foreign if any(_covers(pattern, name) for pattern in trusted)} - set(trusted)
    unknown = sorted(set(foreign) - by_package - set(trusted))
    if unknown:
        packages = sorted({f"{name.partition('.')[0]}.*" for name in unknown})
        raise Refused(
            f"uses {unknown}, which are not stackkit's own. If you know them and where the file comes from, "
            f"load it with trusted={unknown}{f', or all of the packages: {packages}' if len(unknown) > MANY else ''}"
        )
    for name in sorted(by_package):
        _check_defined_there(name)
    return frozenset(foreign)


def _covers(pattern: str, name: str) -> bool:
    return pattern.endswith(".*") and name.startswith(pattern.removesuffix("*"))


def _check_defined_there(name: str) -> None:
    """A package that is trusted as a whole is trusted for its own, not for all that it imports."""
    module, _, attribute = name.rpartition(".")
    found = getattr(import_module(module), attribute, None)
    if not isinstance(found, type | FunctionType) or full_name(found) != name:
        raise Refused(f"uses {name}, which is not defined there: trust in the package does not cover it")
