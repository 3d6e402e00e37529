"""scikit-learn's callbacks (1.9 and later): the stack, its stages and tasks as nodes of their tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from sklearn.base import clone

from stackkit._execution.tasks import Task

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # an older scikit-learn: no set_callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]
        pass

    def with_callbacks(method: Any) -> Any:
        return method


__all__ = [
    "NOBODY",
    "CallbackSupportMixin",
    "Listeners",
    "announced",
    "listeners_of",
    "with_callbacks",
    "without_callbacks",
]


@dataclass(frozen=True)
class Listeners:
    """The root of the tree of one fit; None where nobody listens."""

    model: Any
    root: Any

    @contextmanager
    def hear_of(self, stage: str, tasks: Sequence[Task]) -> Iterator[list[Task]]:
        """A part of the fit. Its tasks get nodes of their own: these cross to the workers, which report from there."""
        if self.root is None:
            yield list(tasks)
            return
        node = self.root.subcontext(task_name=stage, max_subtasks=len(tasks), sequential_subtasks=False)
        node.call_on_fit_task_begin(estimator=self.model)
        yield [
            replace(task, node=node.subcontext(task_name=f"{task.name}, fold {task.folds[0]}", task_id=number))
            for number, task in enumerate(tasks)
        ]
        node.call_on_fit_task_end(estimator=self.model)

    @contextmanager
    def hear_of_final(self, final: Any) -> Iterator[None]:
        if self.root is None:
            yield
            return
        node = self.root.subcontext(task_name="final_estimator")
        with announced(Task("final_estimator", final, (), node=node)):
            yield

    def end(self) -> None:
        if self.root is not None:
            self.root.call_on_fit_task_end(estimator=self.model)


NOBODY = Listeners(None, None)


def listeners_of(model: Any, n_stages: int) -> Listeners:
    """For a fit that begins."""
    some = getattr(model, "_skl_callbacks", None) or hasattr(model, "_parent_callback_ctx")
    if not (some and hasattr(model, "_init_callback_context")):
        return NOBODY
    root = model._init_callback_context(max_subtasks=n_stages)  # noqa: SLF001 - documented for those who write estimators
    return Listeners(model, root.call_on_fit_task_begin(estimator=model))


@contextmanager
def announced(task: Task) -> Iterator[None]:
    """What listens hears of the task; the learner's own steps are nodes below it, if it has any to tell."""
    node = task.node
    if node is None:
        yield
        return
    node.call_on_fit_task_begin(estimator=task.learner)
    try:
        with node.propagate_callback_context(task.learner) if _listens(task.learner) else nullcontext():
            yield
    finally:
        node.call_on_fit_task_end(estimator=task.learner)


def without_callbacks(task: Task) -> Task:
    """For other machines: from there callbacks reach nobody, and end the fit because of that."""
    learner = clone(task.learner)
    for part in (learner, *learner.get_params(deep=True).values()):
        if _listens(part):
            part.set_callbacks()
    return replace(task, learner=learner, node=None)


def _listens(learner: Any) -> bool:
    return hasattr(learner, "set_callbacks") and not isinstance(learner, type)
