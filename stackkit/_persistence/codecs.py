"""How stackkit describes what skops must not: its own objects, functions, tables, search trees, XGBoost's models."""

from __future__ import annotations

import json
import operator
from collections import OrderedDict, defaultdict
from dataclasses import fields
from functools import partial
from importlib import import_module
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from types import FunctionType
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.interpolate import BSpline
from sklearn import feature_selection, metrics
from sklearn.neighbors import BallTree, KDTree
from sklearn.utils import Bunch, check_array

from stackkit._blending import (
    ConvexClassifier,
    ConvexRegressor,
    EnsembleSelectionClassifier,
    EnsembleSelectionRegressor,
    LabelLogisticRegression,
    LinearPoolRegressor,
    LogPoolClassifier,
    RidgePoolRegressor,
)
from stackkit._data import Folds, SameFolds, TableFolds, TimeOrderSplit
from stackkit._learners import (
    FUNCTIONS,
    CalendarColumns,
    CodedPreparation,
    GivenNumbers,
    GivenProbabilities,
    KernelMap,
    NumberColumns,
    ShrunkCovariance,
    SmoothedNB,
    TablePreparation,
)
from stackkit._members import Block, JointForests, Member, joint_forests
from stackkit._model import (
    ColumnSteps,
    CompactModel,
    KernelValues,
    LearnerPredictor,
    LevelCheck,
    Levels,
    Predictor,
    SplitPreparation,
    StackingClassifier,
    StackingModel,
    StackingRegressor,
    Words,
)
from stackkit._oof import OutOfFold
from stackkit._persistence.audit import Refused, blank, full_name
from stackkit._persistence.object_graph import (
    Codec,
    Reader,
    Registry,
    Writer,
    dataclass_fields,
    plain_attributes,
    unsavable,
)
from stackkit._persistence.trees import (
    TREE,
    are_trees,
    check_trees,
    decode_tree,
    decode_trees,
    encode_tree,
    encode_trees,
)
from stackkit._utils import decode_frame, decode_index, decode_series, encode_frame, encode_index, encode_series

# Functions that a file may name: those of the default learners, and those that scorers and selectors are made of.
_BY_NAME = {f"stackkit.{function.__name__}": function for function in FUNCTIONS} | {
    f"{module.__name__}.{name}": function
    for module in (metrics, feature_selection)
    for name in module.__all__
    if isinstance(function := getattr(module, name), FunctionType)
}
_BY_NAME["sklearn.utils.check_array"] = check_array  # histogram boosting holds it
_NAME_OF = {function: name for name, function in _BY_NAME.items()}
_NETWORKS = ("stackkit.nn.", "skorch.", "torch.")
_XGBOOST_CLASSES = {
    "StoppedXGBClassifier": "stackkit._learners.boosting",
    "StoppedXGBRegressor": "stackkit._learners.boosting",
    "XGBClassifier": "xgboost.sklearn",
    "XGBRegressor": "xgboost.sklearn",
    "XGBRFClassifier": "xgboost.sklearn",
    "XGBRFRegressor": "xgboost.sklearn",
    "XGBRanker": "xgboost.sklearn",
}
_LIGHTGBM_MODELS = "stackkit._learners.light_boosting"  # loads lightgbm
_LIGHTGBM_CLASSES = ("LGBMClassifier", "LGBMRegressor", "LGBMRanker")
_CATBOOST_CLASSES = ("CatBoostClassifier", "CatBoostRegressor")
_CATBOOST_MODELS = "stackkit._learners.cat_boosting"  # loads catboost


# --- the stack --------------------------------------------------------------------------------------


def _encode_stack(stack: Any, writer: Writer) -> Any:
    """Without what is of this machine, and of a fit that is over; big things in members of their own."""
    state = {
        name: value for name, value in vars(stack).items() if name not in ("_skl_callbacks", "_parent_callback_ctx")
    }
    if "final_estimator_" in state:
        state["final_estimator_"] = writer.keep(stack.final_estimator_, ".final_estimator_")
    return state | {"memory": None}  # it may be an object that has a secret key


def _encode_member(member: Any, writer: Writer) -> Any:
    """Of networks that are packed as one, no member has an estimator."""
    estimator = None if member.estimator is None else writer.keep(member.estimator, ".estimator")
    return {"estimator": estimator, "labels": member.labels, "codes": member.codes}


def _encode_oof(oof: Any, writer: Writer) -> Any:
    state = {field.name: getattr(oof, field.name) for field in fields(oof)}
    members = {
        name: [writer.keep(member, f".members[{name!r}][{i}]") for i, member in enumerate(found)]
        for name, found in oof.members.items()
    }
    return state | {"members": members}


def _decode_compact(state: Any, reader: Reader) -> Any:
    kinds = state["_input_kinds"]
    if not (set(kinds) == {"allow_nan", "sparse"} and all(isinstance(allowed, bool) for allowed in kinds.values())):
        raise Refused(f"has a CompactModel that does not say which rows it takes, but {kinds!r}")
    return _COMPACT.decode(state, reader)


def _encode_joint_forests(pack: Any, writer: Writer) -> Any:
    """The forests, which are those of the members: the arrays of all trees are made anew."""
    return [writer.keep(forest, f"[{i}]") for i, forest in enumerate(vars(pack)["_forests"])]


# --- what is not stackkit's -------------------------------------------------------------------------


def _encode_sparse(matrix: Any, writer: Writer) -> Any:
    parts = {"coo": ("row", "col"), "dia": ("offsets",)}.get(matrix.format, ("indices", "indptr"))
    if matrix.format in ("lil", "dok"):
        raise unsavable(writer.where, matrix, "Convert it with tocsr().")
    arrays = [matrix.data, *(getattr(matrix, part) for part in parts)]
    return {"class": type(matrix).__name__, "arrays": arrays, "shape": list(matrix.shape)}


def _decode_sparse(state: Any, _: Reader) -> Any:
    cls, (data, *places), shape = getattr(sparse, state["class"]), state["arrays"], tuple(state["shape"])
    if not (isinstance(cls, type) and issubclass(cls, sparse.spmatrix | sparse.sparray)):
        raise Refused(f"has no sparse matrix where one should be, but {state['class']!r}")
    rest = (tuple(places),) if len(places) == 2 and cls.__name__.startswith("coo") else tuple(places)
    matrix = cls((data, *rest), shape=shape)
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)  # what multiplies it looks at no bounds
    return matrix


def _encode_search_tree(tree: Any, writer: Writer) -> Any:
    """What it is built of: its inner arrays could send a search anywhere."""
    data, *_, metric, weights = tree.__getstate__()
    name = type(metric).__name__.removesuffix("64").removesuffix("Distance").lower()
    power, vector, _ = (*metric.__getstate__(), None, None)[:3]
    if name in ("seuclidean", "mahalanobis", "pyfunc") or (name == "minkowski" and len(vector)):
        raise unsavable(writer.where, tree, f"Its metric {name!r} has parameters of its own: use algorithm='brute'.")
    options = {"p": power} if name == "minkowski" else {}
    leaf_size = tree.__getstate__()[4]
    return {"class": type(tree).__name__, "data": data, "leaf_size": leaf_size, "metric": name, "options": options} | (
        {} if weights is None else {"sample_weight": weights}
    )


def _decode_search_tree(state: Any, _: Reader) -> Any:
    cls = {"KDTree": KDTree, "BallTree": BallTree}[state["class"]]
    weights = {key: state[key] for key in ("sample_weight",) if key in state}
    return cls(
        state["data"], leaf_size=int(state["leaf_size"]), metric=str(state["metric"]), **state["options"], **weights
    )


def _encode_xgboost(model: Any, writer: Writer) -> Any:
    booster = import_module("xgboost").Booster
    state = {name: value for name, value in vars(model).items() if not isinstance(value, booster)}
    raw = writer.add(bytes(model.get_booster().save_raw("ubj")), "ubj") if len(state) < len(vars(model)) else None
    return {"class": type(model).__name__, "booster": raw, "state": state}


def _decode_xgboost(state: Any, reader: Reader) -> Any:
    if state["class"] not in _XGBOOST_CLASSES:
        raise Refused(f"has no model of XGBoost where one should be, but {state['class']!r}")
    model = getattr(import_module(_XGBOOST_CLASSES[state["class"]]), state["class"])()
    if state["booster"] is not None:
        model.load_model(bytearray(reader.members[state["booster"]]))
    vars(model).update(state["state"])
    return model


def _encode_lightgbm(booster: Any, writer: Writer) -> Any:
    return writer.add(booster.model_to_string(num_iteration=-1).encode(), "txt")


def _decode_lightgbm(state: Any, reader: Reader) -> Any:
    text = bytes(reader.members[state]).decode()
    return import_module("lightgbm").Booster(model_str=text)


def _encode_lightgbm_estimator(model: Any, _: Writer) -> Any:
    """What it holds, its trees among that; dicts with defaults, of the scores in training, as plain ones."""
    state = {name: dict(value) if isinstance(value, defaultdict) else value for name, value in vars(model).items()}
    return {"class": type(model).__name__, "state": state}


def _decode_lightgbm_estimator(state: Any, _: Reader) -> Any:
    if state["class"] not in _LIGHTGBM_CLASSES:
        raise Refused(f"has no estimator of LightGBM where one should be, but {state['class']!r}")
    model = blank(getattr(import_module("lightgbm"), state["class"]))
    vars(model).update(state["state"])
    return model


def _encode_catboost(model: Any, writer: Writer) -> Any:
    """In its own binary format: its JSON has no trees that split by categories."""
    state = {"class": type(model).__name__, "params": model.get_params(), "model": None}
    if not model.is_fitted():
        return state
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.cbm")
        model.save_model(str(path), format="cbm")
        return state | {"model": writer.add(path.read_bytes(), "cbm")}


def _decode_catboost(state: Any, reader: Reader) -> Any:
    if state["class"] not in _CATBOOST_CLASSES:
        raise Refused(f"has no model of CatBoost where one should be, but {state['class']!r}")
    model = getattr(import_module("catboost"), state["class"])(**state["params"])
    if state["model"] is not None:
        model.load_model(blob=bytes(reader.members[state["model"]]), format="cbm")
    return model


def _boosted(module: str, name: str) -> Codec:
    """An estimator of ours that holds a library's model; its class is imported when a file asks for it."""

    def decode(state: Any, reader: Reader) -> Any:
        return plain_attributes(name, getattr(import_module(module), name)).decode(state, reader)

    return Codec(name, lambda value, _: dict(vars(value)), decode)


def _encode_spline(spline: Any, _: Writer) -> Any:
    return {name: getattr(spline, name) for name in ("t", "c", "k", "extrapolate", "axis")}


def _decode_spline(state: Any, _: Reader) -> Any:
    """What SciPy asks of one, but for knots that are all one, as of a column with few values."""
    t, c, k = np.asarray(state["t"], dtype=float), np.asarray(state["c"], dtype=float), operator.index(state["k"])
    right = t.ndim == 1 and np.isfinite(t).all() and (np.diff(t) >= 0).all() and k >= 0 and len(t) >= 2 * k + 2
    if not right or c.ndim < 1 or state["axis"] != 0 or len(c) < len(t) - k - 1:
        raise Refused("has a spline whose knots and coefficients do not fit")
    return BSpline.construct_fast(t, c, k, state["extrapolate"], 0)


def _decode_partial(state: Any, _: Reader) -> Any:
    function, arguments, keywords = state
    if not isinstance(function, FunctionType | np.ufunc):
        raise Refused(f"has arguments for something else than a function: {function!r}")
    return partial(function, *arguments, **keywords)


def _decode_objects(state: Any, _: Reader) -> Any:
    shape, items = state
    array = np.empty(len(items), dtype=object)
    for place, item in enumerate(items):
        array[place] = item
    return array.reshape(shape)


# --- the registry -----------------------------------------------------------------------------------


def _fetched(state: Any, reader: Reader) -> Any:
    return reader.fetch(state)


def _no_encoding(_value: Any, _writer: Writer) -> Any:
    raise AssertionError("Only the walk itself makes parts of this kind.")


_COMPACT = plain_attributes("CompactModel", CompactModel)
_FUNCTION = Codec("function", lambda value, _: _NAME_OF[value], lambda state, _: _BY_NAME[state])
_XGBOOST = Codec("xgboost", _encode_xgboost, _decode_xgboost)
_CATBOOST = Codec("catboost", _encode_catboost, _decode_catboost)
_LIGHTGBM = Codec("lightgbm", _encode_lightgbm, _decode_lightgbm)
_LIGHTGBM_ESTIMATOR = Codec("lightgbm estimator", _encode_lightgbm_estimator, _decode_lightgbm_estimator)
_FOREST = Codec("decision trees", lambda them, _: encode_trees(them), lambda state, _: decode_trees(state))
_SEARCH_TREE = Codec("search tree", _encode_search_tree, _decode_search_tree)
_PLAIN = (
    ConvexClassifier,
    ConvexRegressor,
    LinearPoolRegressor,
    LogPoolClassifier,
    RidgePoolRegressor,
    EnsembleSelectionClassifier,
    EnsembleSelectionRegressor,
    LabelLogisticRegression,
    CalendarColumns,
    CodedPreparation,
    GivenNumbers,
    GivenProbabilities,
    KernelMap,
    Levels,
    NumberColumns,
    SameFolds,
    TableFolds,
    ShrunkCovariance,
    SmoothedNB,
    TablePreparation,
    TimeOrderSplit,
)
_OF_FIELDS = (Block, ColumnSteps, Folds, KernelValues, LevelCheck, Predictor, SplitPreparation, Words)


def _decode_text_type(state: Any, _: Reader) -> Any:
    """Of columns of text: encoders of other packages note the types of the columns that they saw."""
    storage, is_masked = state
    return pd.StringDtype(str(storage)) if is_masked else pd.StringDtype(str(storage), na_value=np.nan)


_BY_CLASS: dict[str, Codec] = {
    **{
        full_name(cls): Codec(cls.__name__, _encode_stack, plain_attributes(cls.__name__, cls).decode)
        for cls in (StackingModel, StackingClassifier, StackingRegressor)
    },
    full_name(CompactModel): Codec(_COMPACT.kind, _COMPACT.encode, _decode_compact),
    full_name(JointForests): Codec("joint forests", _encode_joint_forests, lambda state, _: joint_forests(state)),
    full_name(Member): Codec("Member", _encode_member, dataclass_fields("Member", Member).decode),
    full_name(OutOfFold): Codec("OutOfFold", _encode_oof, dataclass_fields("OutOfFold", OutOfFold).decode),
    **{full_name(cls): dataclass_fields(cls.__name__, cls) for cls in _OF_FIELDS},
    full_name(LearnerPredictor): dataclass_fields("Panel", LearnerPredictor),  # its name when the format was made
    **{full_name(cls): plain_attributes(cls.__name__, cls) for cls in _PLAIN},
    **{full_name(cls): _SEARCH_TREE for cls in (KDTree, BallTree)},
    **{f"{module}.{name}": _XGBOOST for name, module in _XGBOOST_CLASSES.items()},
    **{
        f"{module}.{name}": _boosted(module, name)
        for module, names in (
            (_LIGHTGBM_MODELS, ("LightGBMClassifier", "LightGBMRegressor")),
            (_CATBOOST_MODELS, _CATBOOST_CLASSES),
        )
        for name in names
    },
    **{f"catboost.core.{name}": _CATBOOST for name in _CATBOOST_CLASSES},
    "lightgbm.basic.Booster": _LIGHTGBM,
    **{f"lightgbm.sklearn.{name}": _LIGHTGBM_ESTIMATOR for name in _LIGHTGBM_CLASSES},
    full_name(slice): Codec("slice", lambda it, _: [it.start, it.stop, it.step], lambda state, _: slice(*state)),
    full_name(BSpline): Codec("spline", _encode_spline, _decode_spline),
    full_name(OrderedDict): Codec(
        "ordered", lambda it, _: [list(pair) for pair in it.items()], lambda state, _: OrderedDict(state)
    ),
    full_name(partial): Codec("partial", lambda it, _: [it.func, list(it.args), it.keywords], _decode_partial),
    full_name(Bunch): Codec("bunch", lambda it, _: dict(it), lambda state, _: Bunch(**state)),
    TREE: Codec("decision tree", lambda tree, _: encode_tree(tree), lambda state, _: decode_tree(state)),
}
# Names of what a stack is made of, as skops tells them.
STACKKITS_OWN = frozenset(
    {name for name in _BY_CLASS if name.startswith("stackkit.")} | {full_name(function) for function in FUNCTIONS}
)
# Subclasses too.
_BY_BASE: dict[Any, Codec] = {
    pd.Index: Codec("pandas.Index", lambda it, _: encode_index(it), lambda state, _: decode_index(state)),
    pd.Series: Codec("pandas.Series", lambda it, _: encode_series(it), lambda state, _: decode_series(state)),
    pd.DataFrame: Codec("pandas.DataFrame", lambda it, _: encode_frame(it), lambda state, _: decode_frame(state)),
    sparse.spmatrix | sparse.sparray: Codec("sparse", _encode_sparse, _decode_sparse),
    pd.StringDtype: Codec("pandas.StringDtype", lambda it, _: [it.storage, it.na_value is pd.NA], _decode_text_type),
    np.dtype: Codec("dtype", lambda it, _: it.str, lambda state, _: np.dtype(str(state))),
    PurePath: Codec("path", lambda it, _: str(it), lambda state, _: Path(state)),
}
# Kinds that the walk itself makes.
_PLAIN_KINDS = (
    Codec("file", _no_encoding, _fetched),
    Codec("json", _no_encoding, lambda state, _: json.loads(state)),
    Codec("numbers", _no_encoding, lambda state, _: dict(zip(*state, strict=True))),
    Codec("dict", _no_encoding, lambda state, _: dict(state)),
    Codec("frozenset", _no_encoding, lambda state, _: frozenset(state)),
    Codec("masked", _no_encoding, lambda state, _: np.ma.MaskedArray(*state)),
    Codec("objects", _no_encoding, _decode_objects),
)
_BY_KIND = {codec.kind: codec for codec in (*_PLAIN_KINDS, *_BY_CLASS.values(), *_BY_BASE.values(), _FUNCTION, _FOREST)}


def _networks() -> Any:
    return import_module("stackkit._persistence.network_codecs")  # loads torch


def codec_of(value: Any) -> Codec | None:
    """What describes a value in place of skops; None leaves it to the walk."""
    if isinstance(value, FunctionType):
        return _FUNCTION if value in _NAME_OF else None
    if isinstance(value, list):
        return _FOREST if type(value) is list and are_trees(value) else None
    if any(
        base.__module__.startswith(_NETWORKS) for base in (value if isinstance(value, type) else type(value)).__mro__
    ):
        found: Codec | None = _networks().codec_of(value)
        return found
    by_base = (codec for base, codec in _BY_BASE.items() if isinstance(value, base))
    return _BY_CLASS.get(full_name(type(value))) or next(by_base, None)


def codec_of_kind(kind: Any) -> Codec | None:
    if isinstance(kind, str) and kind.startswith("nn."):
        found: Codec | None = _networks().BY_KIND.get(kind)
        return found
    return _BY_KIND.get(kind)


REGISTRY = Registry(codec_of, codec_of_kind, check_trees)
