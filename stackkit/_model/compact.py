"""A fitted stack reduced to what predicts: no table, no folds, no learner that nobody looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn

import joblib
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import ClassifierTags, RegressorTags, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.metaestimators import available_if

from stackkit._members import in_steps, joint_forests, make_blocks, speaks_for
from stackkit._model.diagram import CAN_DRAW, diagram_of
from stackkit._model.kernel_values import without_second_product
from stackkit._model.learner_predictor import LearnerPredictor
from stackkit._model.plan import Plan
from stackkit._model.predictor import Predictor, Predicts
from stackkit._model.shared_preparation import TakesApart


class CompactModel(Predicts, BaseEstimator):
    """A fitted stack for predictions alone; :meth:`StackingModel.compact <stackkit.StackingModel.compact>` makes it.

    It has the model's ``predict``, ``predict_proba``, ``decision_function`` and ``score``, holds only the members of
    learners that the final estimator looks at, and can be pickled. It cannot be fitted, and so not be cloned either.

    Attributes
    ----------
    n_jobs : int or None
        Threads for predictions, the model's to begin with; may be changed. A few rows are predicted in one.
    classes_ : ndarray of shape (n_classes,), or a list of them for a multilabel target
        Only for classification.
    members_ : dict of str to list of estimators
        What predicts new rows for each learner, behind ``transformers_``. Empty for networks packed as one.
    transformers_ : dict of str to list of lists of transformers
        What prepares the rows for each of them; equal ones are one and the same object.
    final_estimator_ : estimator
        It sees the columns of all of the model's learners; those of learners without weight hold a constant.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str
        Names of X's columns; only where it has them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import StackingModel
    >>> X, y = load_iris(return_X_y=True)
    >>> model = StackingModel([("bayes", GaussianNB()), ("knn", KNeighborsClassifier())]).fit(X, y)
    >>> small = model.compact()
    >>> hasattr(small, "oof_")
    False
    >>> bool((small.predict_proba(X) == model.predict_proba(X)).all())
    True
    """

    _input_kinds: dict[str, bool]

    def __init__(self) -> None:
        raise TypeError("A CompactModel is made by StackingModel.compact(), of a fitted model.")

    @property
    def members_(self) -> dict[str, list[Any]]:
        """What predicts new rows for each learner."""
        panels = self._predictor.panels
        return {name: [m.estimator for m in panel.members if m.estimator is not None] for name, panel in panels.items()}

    @property
    def transformers_(self) -> dict[str, list[list[Any]]]:
        """What prepares the rows for each learner's members."""
        return {name: [list(front) for front in panel.fronts] for name, panel in self._predictor.panels.items()}

    @property
    def final_estimator_(self) -> Any:
        """The fitted final estimator."""
        return self._predictor.final.estimator

    def fit(self, X: Any, y: Any = None) -> NoReturn:
        """Raise an error: a compact model cannot be fitted.

        Parameters
        ----------
        X, y : ignored

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError("A CompactModel only predicts. Fit the StackingModel that it was made of, then compact() it.")

    def get_metadata_routing(self) -> MetadataRouter:
        """Who gets which metadata: the final estimator's predict.

        Returns
        -------
        MetadataRouter
            The routing.
        """
        to_final = MethodMapping().add(caller="predict", callee="predict")
        return MetadataRouter(owner=self).add(final_estimator=self.final_estimator_, method_mapping=to_final)

    def _final_prototype(self) -> Any:
        return self.final_estimator_

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> NoReturn:
        raise TypeError(
            "A CompactModel cannot be cloned: it only predicts. Clone the StackingModel that it was made of, or wrap "
            "it in sklearn.frozen.FrozenEstimator where a fitted estimator is to be used as it is."
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        classifier = self._predictor.classes is not None
        tags.estimator_type = "classifier" if classifier else "regressor"
        tags.classifier_tags = ClassifierTags() if classifier else None
        tags.regressor_tags = None if classifier else RegressorTags()
        tags.target_tags.required = True
        for kind, allowed in self._input_kinds.items():
            setattr(tags.input_tags, kind, allowed)
        return tags

    @available_if(lambda _: CAN_DRAW)
    def _sk_visual_block_(self) -> Any:
        return diagram_of(self)

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        learners = ", ".join(f"{len(panel.members)} x {name}" for name, panel in self._predictor.panels.items())
        return f"<CompactModel: {learners}; {type(self.final_estimator_).__name__}>"


def compact_model(stack: Any, predictor: Predictor, *, pack: bool) -> CompactModel:
    """A stack's predictor and public facts, without the rest."""
    model = CompactModel.__new__(CompactModel)
    for name in ("classes_", "n_features_in_", "feature_names_in_", "_known_columns"):
        if hasattr(stack, name):
            setattr(model, name, getattr(stack, name))
    model.n_jobs = stack.n_jobs
    inputs = get_tags(stack).input_tags
    model._input_kinds = {"allow_nan": inputs.allow_nan, "sparse": inputs.sparse}  # noqa: SLF001 - made here
    model._predictor = _reduced(predictor, pack=pack)  # noqa: SLF001
    return model


def check_refit(plan: Plan, predictor: Predictor) -> None:
    """The final estimator is there already: learners must give it the columns that it knows."""
    ours, theirs = (_as_lists(classes) for classes in (predictor.classes, plan.target.classes))
    if ours != theirs:
        raise ValueError(
            f"compact(refit=True) needs targets of the classes that the model knows, {ours}; got {theirs}."
        )
    blocks = make_blocks(plan.learners, plan.methods, plan.target)
    for name in predictor.useful():
        if (
            name not in blocks
            or replace(blocks[name], columns=predictor.blocks[name].columns) != predictor.blocks[name]
        ):
            raise ValueError(
                f"compact(refit=True) needs the learners that the model was fitted with; {name!r} has gone, or gives "
                "other columns. Set it back, or fit the model again."
            )


def _as_lists(classes: Any) -> Any:
    if isinstance(classes, list):
        return [label.tolist() for label in classes]
    return None if classes is None else classes.tolist()


def _reduced(predictor: Predictor, *, pack: bool) -> Predictor:
    """Only panels that the final estimator looks at; equal fronts as one object.

    The final estimator stays as it is, and sees a constant in place of the others: sums over fewer columns may round
    otherwise.
    """
    fronts = _Fronts()
    panels = {name: _reduced_panel(predictor.panels[name], fronts, pack=pack) for name in predictor.useful()}
    final = replace(predictor.final, estimator=_without_ballast(predictor.final.estimator, pack=pack))
    return replace(predictor, panels=panels, final=final)


def _reduced_panel(panel: LearnerPredictor, fronts: _Fronts, *, pack: bool) -> LearnerPredictor:
    if panel.pack is not None:  # of a stack that is compact already
        return panel
    parts = [in_steps(member.estimator) for member in panel.members]
    if pack:
        parts = [without_second_product(*part) for part in parts]
    lasts = [_without_ballast(last, pack=pack) for _, last in parts]
    nets = _packed(lasts) if pack else None
    return replace(
        panel,
        members=tuple(
            replace(member, estimator=None if nets is not None else last)
            for member, last in zip(panel.members, lasts, strict=True)
        ),
        fronts=tuple(fronts.shared((*before, *steps)) for before, (steps, _) in zip(panel.fronts, parts, strict=True)),
        pack=joint_forests(lasts) if pack and nets is None else nets,
    )


def _packed(lasts: Sequence[Any]) -> Any:
    """What takes their place and predicts for all of them in one pass, where their class offers that; else None."""
    first = type(lasts[0])
    alike = all(type(last) is first for last in lasts)
    if not alike or not speaks_for(first, "pack_folds", "predict", "predict_proba"):
        return None
    return first.pack_folds(lasts)


def _without_ballast(estimator: Any, *, pack: bool) -> Any:
    """A stack in a stack becomes compact, too, also at the end of a pipeline."""
    if type(estimator) is Pipeline:
        name, last = estimator.steps[-1]
        reduced = _without_ballast(last, pack=pack)
        return estimator if reduced is last else Pipeline([*estimator.steps[:-1], (name, reduced)])
    predictor = getattr(estimator, "_predictor", None)
    # What derives from a stack may do more.
    if isinstance(predictor, Predictor) and type(estimator).__module__.partition(".")[0] == "stackkit":
        return compact_model(estimator, predictor, pack=pack)
    return estimator


class _Fronts:
    """Transformers in front of members: those with the same content become one object."""

    def __init__(self) -> None:
        self._known: dict[str, Sequence[Any]] = {}
        self._apart = TakesApart()

    def shared(self, steps: Sequence[Any]) -> Sequence[Any]:
        if not steps:
            return ()
        try:
            content = joblib.hash(steps)
        except Exception:  # noqa: BLE001 - what cannot be pickled may refuse in any way; it is shared with nobody
            return steps
        if content not in self._known:
            self._known[content] = (self._apart(steps[0]), *steps[1:])
        return self._known[content]
