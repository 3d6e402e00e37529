"""From a plan to all that a fitted stack is: nothing of it is seen before all of it is there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from stackkit._blending import BLENDS, upper_stack, warn_of_constant_labels
from stackkit._execution import Listeners, listeners_of, say
from stackkit._model.learner_predictor import learner_predictor_of
from stackkit._model.levels import LevelCheck, check_choice, check_levels, fit_final, upper_failures
from stackkit._model.plan import Plan
from stackkit._model.predictor import Predictor
from stackkit._oof import CrossFitted, OutOfFold, Settings, fold_members_again, refit_members, run_cross_fit


@dataclass(frozen=True)
class Fitted:
    """What a fit has made."""

    oof: OutOfFold
    predictor: Predictor
    level_check: LevelCheck | None
    entropy: int
    listeners: Listeners  # to be told that it is over, when the model is fitted


def fit_stack(model: Any, plan: Plan, settings: Settings) -> Fitted:
    """Fit the learners of the plan on each fold, the final estimator on their table, and what is to be refitted."""
    level_check, plan = _levelled(model, plan, settings)
    refits_useful = model.refit and isinstance(plan.final, BLENDS)
    settings = replace(settings, listeners=listeners_of(model, n_stages=2 + refits_useful))
    folds = plan.folds(settings.entropy)
    plan.check_covered(np.flatnonzero(folds.covered))
    fitted = run_cross_fit(
        plan.learners,
        plan.X,
        plan.target,
        folds=folds,
        methods=plan.methods,
        fit_params=plan.routed.learners,
        weights=plan.weights,
        # A learner that a blend gives no weight is not refitted, nor is one that time does not suffice for: their fold
        # models fill their columns.
        keep_members=not model.refit or refits_useful or model.time_limit is not None,
        refit=model.refit and not refits_useful,
        settings=settings,
    )
    oof = fitted.oof
    rows = np.flatnonzero(oof.covered)
    warn_of_constant_labels(plan.final, plan.target, rows)
    final, _ = fit_final(plan, oof.folds, rows, oof.train, oof.blocks, settings=settings)
    predictor = Predictor({}, oof.blocks, final, plan.target.classes, plan.picked)
    oof, predictor = _with_members(plan, fitted, predictor, settings, refits_useful=refits_useful)
    return Fitted(oof, predictor, level_check, settings.entropy, settings.listeners)


def checks_levels(model: Any, plan: Plan) -> bool:
    """Whether there is a second level, and it has to prove itself."""
    return check_choice(model.levels) and upper_stack(plan.final) is not None


def _levelled(model: Any, plan: Plan, settings: Settings) -> tuple[LevelCheck | None, Plan]:
    """The plan with the second level, or without it."""
    if not checks_levels(model, plan):
        return None, plan
    check, plan = check_levels(plan, np.arange(plan.X.shape[0]), settings)
    say(check.reason, verbose=settings.verbose)
    return check, plan


def _with_members(
    plan: Plan, fitted: CrossFitted, predictor: Predictor, settings: Settings, *, refits_useful: bool
) -> tuple[OutOfFold, Predictor]:
    """Whoever predicts new rows: fold models, refitted ones, and those that a store without models has to do again."""
    again = {"like": fitted.oof, "fit_params": plan.routed.learners, "settings": settings}
    refitted = fitted.refitted
    if refits_useful:
        refitted = refit_members(plan.only(predictor.useful()), plan.X, plan.target, **again)
    lacking = plan.only(set(fitted.incomplete) - set(refitted))
    folds_again = fold_members_again(lacking, plan.X, plan.target, **again) if lacking else {}
    members = fitted.fold_members | folds_again | refitted
    again_by_name = {name: [member.estimator for member in found] for name, found in folds_again.items()}
    oof = replace(fitted.oof, members=fitted.oof.members | again_by_name)
    return oof, replace(predictor, panels={name: learner_predictor_of(found) for name, found in members.items()})


def all_failures(oof: OutOfFold, final: Any) -> pd.DataFrame:
    above = upper_failures(final)
    return oof.failures if above is None or above.empty else pd.concat([oof.failures, above], ignore_index=True)
