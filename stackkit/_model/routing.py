"""Who gets which metadata of ``fit``: the learners, the final estimator, the splitter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.model_selection import KFold
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import (
    MetadataRequest,
    MetadataRouter,
    MethodMapping,
    get_routing_for_object,
    process_routing,
)

from stackkit._blending import default_blend
from stackkit._data import Learners, ShuffledFolds
from stackkit._members import asking, weight_params
from stackkit._model.parameters import METADATA, fixed_task, known_task, told_requests
from stackkit._oof import learner_params


def router_of(model: Any, learners: Learners, final: Any) -> MetadataRouter:
    """For ``get_metadata_routing`` of a stack with these learners and this final estimator."""
    router = MetadataRouter(owner=model).add_self_request(model)  # of its score, and what set_fit_request was told
    default = get_routing_for_object(ShuffledFolds()) if model.cv is None else KFold()
    if model.estimators is None and not learners:  # which learners is known with the rows
        # What the stack itself was told to ask for is given to all that it chooses.
        others = set(METADATA) - set(told_requests(model))
        router.add(default_learners=_asks(others), method_mapping=MethodMapping().add(caller="fit", callee="fit"))
        if model.final_estimator is None:
            final = asking(default_blend(known_task(model)), others)
        if model.cv is None:
            default.split.add_request(param="groups", alias="groups" in others)
    for name, learner in learners:
        router.add(**{name: learner}, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
    to_final = MethodMapping().add(caller="fit", callee="fit").add(caller="predict", callee="predict")
    if final is not None:
        router.add(final_estimator=final, method_mapping=to_final)
    # Not splitter_of(model.cv): that would use up a generator of index pairs.
    splitter = model.cv if hasattr(model.cv, "split") else default
    return router.add(splitter=splitter, method_mapping=MethodMapping().add(caller="fit", callee="split"))


def _asks(names: Iterable[str]) -> MetadataRequest:
    """What the default learners ask for: see `asking`."""
    request = MetadataRequest(owner="default_learners")
    for name in names:
        request.fit.add_request(param=name, alias=True)
    return request


def _gets_weights_unasked(model: Any, final: Any) -> bool:
    """Whether the final estimator gets the weights unasked: in scikit-learn's stackers it does.

    Where it has said what it wants, that counts.
    """
    if fixed_task(model) is None:
        return False
    request = get_routing_for_object(final)
    return isinstance(request, MetadataRequest) and not any(wish is not None for wish in request.fit.requests.values())


def check_known_metadata(model: Any, params: dict[str, Any]) -> None:
    """Refuse, without metadata routing, what nobody could be asked whether it wants it."""
    if params and not get_config()["enable_metadata_routing"]:
        raise ValueError(
            f"{type(model).__name__}.fit takes groups and sample_weight; other metadata, such as {sorted(params)}, is "
            "only supported if enable_metadata_routing=True: see sklearn.set_config, and set_fit_request of the "
            "estimator that takes it."
        )


def route(model: Any, learners: Learners, final: Any, given: dict[str, Any]) -> Bunch:
    """What goes to each of the ``learners``, to the ``final_estimator`` and to the ``splitter``."""
    given = {name: value for name, value in given.items() if value is not None}
    if get_config()["enable_metadata_routing"]:
        unasked = _gets_weights_unasked(model, final)
        router = router_of(model, learners, None if unasked else final)
        routed = process_routing(_Routes(router), "fit", **given)
        weights = weight_params(final, given.get("sample_weight")) or {}
        return Bunch(
            learners={name: routed[name]["fit"] for name, _ in learners},
            final_estimator=weights if unasked else routed["final_estimator"]["fit"],
            splitter=routed["splitter"]["split"],
        )
    takers = [*learners, ("final_estimator", final)]
    params = learner_params(takers, given.get("sample_weight"), given.get("groups"))
    return Bunch(
        learners={name: params[name] for name, _ in learners},
        final_estimator=params["final_estimator"],
        splitter={name: given[name] for name in given if name == "groups"},
    )


def check_takes_weights(estimators: Learners) -> None:
    """Refuse weights for who takes none, in scikit-learn's words, which its users' code may look for."""
    if get_config()["enable_metadata_routing"]:
        return
    for name, estimator in estimators:
        if hasattr(estimator, "fit") and weight_params(estimator, np.ones(1)) is None:
            raise TypeError(
                f"Underlying estimator {type(estimator).__name__} does not support sample weights: {name!r}. Leave "
                "sample_weight or this estimator out, or use StackingModel, which goes on with a warning."
            )


class _Routes:
    """What ``process_routing`` asks for: an object that has a routing."""

    def __init__(self, router: MetadataRouter) -> None:
        self._router = router

    def get_metadata_routing(self) -> MetadataRouter:
        return self._router
