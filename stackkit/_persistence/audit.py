"""What skops is given to build: nothing but the nodes that stackkit writes, of classes that are known or trusted.

skops itself asks for trust by name alone, and lets a trusted name be called, subclassed or filled in many ways. Here
each kind of node is held to the few classes that it is written for, so that a name can only be used as it was meant.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterator
from functools import cache
from importlib import import_module
from typing import Any
from zipfile import ZIP_STORED, ZipFile

from sklearn.base import BaseEstimator

_SCHEMA = "schema.json"
_PROTOCOL = 2  # of skops' nodes, from 0.13 on; those before have other nodes, and other checks

LOSSES = ("sklearn._loss._loss", "sklearn.linear_model._sgd_fast")
# The loaders of skops' nodes, and what each may make; a module and a dot stand for all in it. "*" is left to skops,
# which trusts its own list, and the names that it is told.
_NODES: dict[str, tuple[str, ...]] = {
    "JsonNode": ("builtins.str",),
    "DictNode": ("builtins.dict",),
    "ListNode": ("builtins.list",),
    "TupleNode": ("builtins.tuple",),
    "SetNode": ("builtins.set",),
    "NdArrayNode": ("numpy.",),
    "RandomStateNode": ("numpy.random.mtrand.RandomState",),
    "RandomGeneratorNode": ("numpy.random._generator.Generator",),
    "LossNode": tuple(f"{module}." for module in LOSSES),
    "TypeNode": ("*",),
    "FunctionNode": ("*",),
    "ObjectNode": ("*",),
}
_PART = "stackkit._parts.Part"  # in files: where it was when they were first written
# Of scikit-learn, beside its public estimators: what these are made of when they are fitted.
_INNER = (
    "sklearn._loss.link.HalfLogitLink",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogLink",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.AbsoluteError",
    "sklearn._loss.loss.ExponentialLoss",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfGammaLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfPoissonLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn._loss.loss.HuberLoss",
    "sklearn._loss.loss.PinballLoss",
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
)


class Refused(Exception):  # noqa: N818 - the caller makes an error of it that names the file
    """The file asks for what it must not; the message goes on after the file's name."""


def full_name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def blank(cls: Any) -> Any:
    """An instance without attributes, made as skops makes it: its ``__init__`` is not called."""
    return cls.__new__(cls)


def hooks_of(cls: Any) -> str | None:
    """Why its instances cannot be made of plain attributes: it has a hook that could do anything with them."""
    # Each base's, for scikit-learn's own goes on to that of the next base.
    own = any("__setstate__" in vars(base) for base in cls.__mro__ if base is not BaseEstimator)
    if own or cls.__reduce__ is not object.__reduce__ or cls.__reduce_ex__ is not object.__reduce_ex__:
        return f"{full_name(cls)} has hooks for pickle, such as __setstate__, which stackkit does not call"
    return None


@cache
def known_classes() -> frozenset[str]:
    """The classes whose instances may be made of attributes: a list that is the same for every file."""
    from sklearn import gaussian_process, model_selection  # noqa: PLC0415
    from sklearn.utils import all_estimators  # noqa: PLC0415 - loads all of scikit-learn

    kernels, splits = vars(gaussian_process.kernels).values(), vars(model_selection).values()
    found: set[type] = {cls for _, cls in all_estimators() if cls.__module__.startswith("sklearn.")}
    found |= {cls for cls in kernels if isinstance(cls, type) and issubclass(cls, gaussian_process.kernels.Kernel)}
    found |= {cls for cls in splits if isinstance(cls, type) and hasattr(cls, "split")}
    return frozenset({full_name(cls) for cls in found} | set(_INNER) | {_PART})


def audited(data: bytes, trusted: Collection[str]) -> Any:
    """What skops builds of a member, if all of it may be built."""
    from skops.io import get_untrusted_types, loads  # noqa: PLC0415
    from skops.io.exceptions import UntrustedTypesFoundException  # noqa: PLC0415

    used = _checked_names(_schema(data), check_stored(data))
    known = {name for _, name in used} & (known_classes() | set(trusted))
    for loader, name in used:
        if loader == "ObjectNode" and name in trusted:
            _check_class(name)
    try:
        return loads(data, trusted=sorted(known))
    except UntrustedTypesFoundException as error:
        unknown = sorted(set(get_untrusted_types(data=data)) - known)
        raise Refused(f"holds {unknown}, which are not among the names to trust that it tells of") from error


def _check_class(name: str) -> None:
    """A class of the user's, imported by that name, of which skops is to make an instance."""
    module, _, attribute = name.rpartition(".")
    why = hooks_of(getattr(import_module(module), attribute))
    if why:
        raise Refused(f"asks for what cannot be trusted in a file: {why}")


def check_stored(data: bytes) -> dict[str, int]:
    """Sizes of the members of a member; Refused where one is packed, and could grow."""
    with ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    sizes = {entry.filename: entry.file_size for entry in entries}
    packed = any(entry.compress_type != ZIP_STORED for entry in entries)
    if packed or len(sizes) < len(entries) or sum(sizes.values()) > len(data):
        raise Refused("has a member with members that are packed, or larger than they are")
    return sizes


def _schema(data: bytes) -> dict[str, Any]:
    with ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read(_SCHEMA))
    if not isinstance(schema, dict) or schema.get("protocol") != _PROTOCOL:
        raise Refused(f"has a skops member of another protocol than {_PROTOCOL}")
    return schema


def _checked_names(schema: dict[str, Any], sizes: dict[str, int]) -> set[tuple[str, str]]:
    """Loaders and names of all nodes, each of which is one that stackkit writes.

    Where ids are the same, skops takes the first: so they must look alike.
    """
    keys = {id(node["key_types"]) for node in _nodes(schema) if node["__loader__"] == "DictNode"}
    seen: dict[Any, tuple[Any, ...]] = {}
    owners: dict[Any, int] = {}
    names = set()
    for node in _nodes(schema):
        names.add(_check_node(node))
        number, file = node.get("__id__"), node.get("file")
        look = (*(node[what] for what in ("__loader__", "__module__", "__class__")), file, id(node) in keys)
        if type(number) is not int or seen.setdefault(number, look) != look:
            raise Refused("has a skops member with two objects of one number")
        if file is not None and (file not in sizes or owners.setdefault(file, number) != number):
            raise Refused("has a skops member in which two objects share one array, or have none")
    return names


def _nodes(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything that skops could take for a node."""
    waiting: list[Any] = [schema]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if isinstance(item.get("__loader__"), str):
                yield item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _check_node(node: dict[str, Any]) -> tuple[str, str]:
    loader, name = node["__loader__"], f"{node.get('__module__')}.{node.get('__class__')}"
    allowed = _NODES.get(loader, ())
    if not any(one in (name, "*") or (one.endswith(".") and name.startswith(one)) for one in allowed):
        raise Refused(f"has a skops member with what stackkit does not write: {loader} of {name}")
    if loader == "DictNode":
        keys = node["key_types"]["content"]
        kinds = {(key["__loader__"], key["__module__"], key["__class__"]) for key in keys}
        if not kinds <= {("TypeNode", "builtins", "str")}:
            raise Refused("has a skops member with a dict whose keys are not text")
    if loader == "NdArrayNode" and node.get("type") != "numpy":
        raise Refused("has a skops member with an array of objects")
    return loader, name
