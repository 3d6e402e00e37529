"""A fitted stack as one ONNX graph: `to_onnx`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from stackkit._members import Block, Member, in_steps
from stackkit._model import CompactModel, LearnerPredictor, Predictor, StackingModel
from stackkit._persistence.onnx_blends import add_blend, is_blend
from stackkit._persistence.onnx_graph import Graph, NotConvertibleError, floats
from stackkit._persistence.onnx_learners import add_learner
from stackkit._persistence.onnx_rows import Rows, beside, raw_rows
from stackkit._persistence.onnx_steps import add_steps
from stackkit._utils import written_whole

PACKAGES = ("onnx", "skl2onnx")


def to_onnx(model: Any, path: str | Path) -> Path:
    """Write a fitted stack as one ONNX graph: to predict, ONNX Runtime is enough.

    Raw columns go in; labels and probabilities, or numbers, come out. Inside are the fold models with their
    preparation, the mean over them, and the final estimator: what the model's compact form holds.

    Parameters
    ----------
    model : StackingModel or CompactModel
        A fitted one. Learners of scikit-learn that skl2onnx knows, XGBoost, LightGBM and BN-MLPs can be converted; on
        top of them blends, and any of these. Of the default preparation all but free text can be.
    path : str or Path
        The file, such as "titanic.onnx"; written whole or not at all.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    TypeError
        Something in the model has no form in ONNX. The message names the learner and its step, and says what to do.
    ModuleNotFoundError
        The packages of ``stackkit[onnx]`` are missing.

    See Also
    --------
    save : For models that Python goes on with.

    Notes
    -----
    Inputs of a model that was fitted to an array: ``X``, float64 of shape (n_rows, n_columns). To a data frame: each
    column that is looked at, by its name, of shape (n_rows, 1). Numbers are float64, NaN where they are missing, also
    where the frame had them as text. Categories are strings, ``str(value)`` of what is none, and "" where they are
    missing. Dates are float64: seconds since 1970, in local time; durations are seconds. Each input's ``doc_string``
    says which it is.

    Outputs: ``label`` of shape (n_rows,) and ``probabilities``, float64 of shape (n_rows, n_classes), in the order of
    ``classes_``; or ``value``, float64 of shape (n_rows, n_outputs).

    All is computed in float64, as in Python; sums over trees are rounded to float32 at the end. Probabilities agree to
    1e-6, values to seven digits. Labels are those of the highest probability.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from stackkit import StackingClassifier, to_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> learners = [("bayes", GaussianNB()), ("logistic", LogisticRegression(max_iter=1000))]
    >>> model = StackingClassifier(learners).fit(X, y)
    >>> to_onnx(model, "iris.onnx")  # doctest: +SKIP
    PosixPath('iris.onnx')
    >>> import onnxruntime  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession("iris.onnx")  # doctest: +SKIP
    >>> label, probabilities = session.run(None, {"X": X})  # doctest: +SKIP
    """
    _check_packages()
    compact = _compact(model)
    predictor = compact._predictor  # noqa: SLF001 - made here
    graph = Graph()
    rows = raw_rows(graph, compact.n_features_in_, getattr(compact, "feature_names_in_", ()))
    found = _add_stack(graph, rows, predictor)
    if predictor.classes is None:
        graph.output("value", found, np.float64, ["n", None], "predictions")
    else:
        classes = _as_labels(predictor.classes)
        best = graph.add("ArgMax", found, axis=1, keepdims=0)
        text = "class of the highest probability"
        graph.output("label", graph.add("Gather", classes, best), classes.dtype, ["n"], text)
        graph.output("probabilities", found, np.float64, ["n", len(classes)], f"of {classes.tolist()}")
    with written_whole() as draft_for:
        draft_for(Path(path)).write_bytes(graph.model(repr(compact)).SerializeToString())
    return Path(path)


def _check_packages() -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(f"to_onnx needs {' and '.join(missing)}: pip install 'stackkit[onnx]'.")


def _compact(model: Any) -> CompactModel:
    if isinstance(model, CompactModel):
        return model
    if not isinstance(model, StackingModel):
        raise TypeError(
            f"The 'model' parameter of to_onnx must be a fitted StackingModel or CompactModel; got {model!r}. Of a "
            "Pipeline, convert the last step, and do in front of it what the others do."
        )
    check_is_fitted(model)
    return model.compact(pack=False)


def _as_labels(classes: Any) -> np.ndarray:
    if isinstance(classes, list):
        raise NotConvertibleError("to_onnx cannot convert a model of several labels per row. Fit one for each label.")
    kinds = {"i": np.int64, "u": np.int64, "b": np.bool_, "f": np.float64, "U": object, "O": object}
    found = classes.astype(kinds[classes.dtype.kind])
    if found.dtype == object and not all(isinstance(label, str) for label in found):
        raise NotConvertibleError(
            f"to_onnx cannot convert classes of several types, {classes.tolist()}. Make them all text before the fit."
        )
    return np.asarray(found)


def _add_stack(graph: Graph, rows: Rows, predictor: Predictor) -> str:
    """Probabilities (n, k), or numbers (n, t)."""
    useful = predictor.useful()
    blocks, final = predictor.blocks, predictor.final
    found = {name: _add_panel(graph, rows, name, predictor.panels[name], blocks[name]) for name in useful}
    # The final estimator does not look at the others.
    first = next(iter(found.values()))
    columns = [
        found[name] if name in found else graph.scaled(graph.columns(first, [0] * block.width), 0.0)
        for name, block in blocks.items()
    ]
    width = sum(block.width for block in blocks.values())
    seen = beside(graph, graph.side_by_side(columns), width, rows, predictor.picked)
    with _naming("the final estimator"):
        _check_final(final, predictor.classes)
        return _add_estimator(graph, seen, final.estimator)


@contextmanager
def _naming(owner: str) -> Iterator[None]:
    """Say in whose steps something could not be converted."""
    try:
        yield
    except NotConvertibleError as error:
        text = str(error)
        said = text if text.startswith("to_onnx") else f"to_onnx cannot convert {owner}: {text}"
        raise NotConvertibleError(said) from error


def _check_final(final: Member, classes: Any) -> None:
    if isinstance(classes, np.ndarray) and len(final.codes) < len(classes):
        raise NotConvertibleError("its rows lacked a class. Take folds that have all of them.")
    if classes is not None and not hasattr(final.estimator, "predict_proba"):
        raise NotConvertibleError(
            f"{type(final.estimator).__name__} gives no probabilities. Use one that does, such as LogisticRegression()."
        )


def _add_panel(graph: Graph, rows: Rows, name: str, panel: LearnerPredictor, block: Block) -> str:
    """A learner's columns: the mean over its members."""
    with _naming(f"the learner {name!r}"):
        if any(member.estimator is None for member in panel.members):
            raise NotConvertibleError("its networks are packed as one. Make the model with compact(pack=False).")
        if block.kind not in ("probability", "value"):
            raise NotConvertibleError(
                f"its method is {block.method!r}. Wrap it in CalibratedClassifierCV, or leave it out."
            )
        parts = []
        for member, front in zip(panel.members, panel.fronts, strict=True):
            answer = _add_estimator(graph, rows, member.estimator, front)
            parts.append(_aligned(graph, answer, member, block))
        return graph.mean(parts)


def _add_estimator(graph: Graph, rows: Rows, estimator: Any, front: Any = ()) -> str:
    steps, last = in_steps(estimator)
    x = add_steps(graph, rows, (*front, *steps), shared=front)
    if isinstance(last, CompactModel):
        return _add_stack(graph, x, last._predictor)  # noqa: SLF001 - of this package's kind
    return add_blend(graph, x.table(), last) if is_blend(last) else add_learner(graph, x.table(), last)


def _aligned(graph: Graph, found: str, member: Member, block: Block) -> str:
    if block.kind == "value":
        return found
    if len(member.codes) < block.n_classes:  # a class that the member never saw
        found = graph.add("MatMul", found, floats(np.eye(block.n_classes)[member.codes]))
    return graph.columns(found, [1]) if block.n_classes == 2 else found
