"""Who gets which metadata of ``fit``: the learners, the final estimator, the splitter."""

from __future__ import annotations

from typing import Any

from sklearn import get_config
from sklearn.model_selection import KFold
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from stackkit._data import Learners, ShuffledFolds
from stackkit._oof import learner_params


def router_of(model: Any, learners: Learners, final: Any) -> MetadataRouter:
    """For ``get_metadata_routing`` of a stack with these learners and this final estimator."""
    router = MetadataRouter(owner=model)
    for name, learner in learners:
        router.add(**{name: learner}, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
    to_final = MethodMapping().add(caller="fit", callee="fit").add(caller="predict", callee="predict")
    router.add(final_estimator=final, method_mapping=to_final)
    # Not splitter_of(model.cv): that would use up a generator of index pairs.
    default = ShuffledFolds() if model.cv is None else KFold()
    splitter = model.cv if hasattr(model.cv, "split") else default
    return router.add(splitter=splitter, method_mapping=MethodMapping().add(caller="fit", callee="split"))


def route(model: Any, learners: Learners, final: Any, given: dict[str, Any]) -> Bunch:
    """What goes to each of the ``learners``, to the ``final_estimator`` and to the ``splitter``."""
    given = {name: value for name, value in given.items() if value is not None}
    if get_config()["enable_metadata_routing"]:
        routed = process_routing(_Routes(router_of(model, learners, final)), "fit", **given)
        return Bunch(
            learners={name: routed[name]["fit"] for name, _ in learners},
            final_estimator=routed["final_estimator"]["fit"],
            splitter=routed["splitter"]["split"],
        )
    unknown = sorted(set(given) - {"groups", "sample_weight"})
    if unknown:
        raise TypeError(
            f"StackingModel.fit takes groups and sample_weight; got {unknown} besides. Other metadata need "
            "sklearn.set_config(enable_metadata_routing=True) and set_fit_request on whoever takes them."
        )
    takers = [*learners, ("final_estimator", final)]
    params = learner_params(takers, given.get("sample_weight"), given.get("groups"))
    return Bunch(
        learners={name: params[name] for name, _ in learners},
        final_estimator=params["final_estimator"],
        splitter={name: given[name] for name in given if name == "groups"},
    )


class _Routes:
    """What ``process_routing`` asks for: an object that has a routing."""

    def __init__(self, router: MetadataRouter) -> None:
        self._router = router

    def get_metadata_routing(self) -> MetadataRouter:
        return self._router
