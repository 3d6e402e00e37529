"""Tasks of learners and folds: run here, in threads, in processes or on a cluster, within limits, with the store.

In: a `Job` and its tasks. Out: a `Result` for each learner and fold.
"""

from stackkit._execution.callbacks import NOBODY, CallbackSupportMixin, Listeners, listeners_of, with_callbacks
from stackkit._execution.limits import NO_LIMITS, Limits, limits_from_now
from stackkit._execution.progress import say
from stackkit._execution.scheduler import run_tasks
from stackkit._execution.tasks import ALL_ROWS, OUT_OF_TIME, Job, Result, Task, by_learner, make_tasks, seeded

__all__ = [
    "ALL_ROWS",
    "NOBODY",
    "NO_LIMITS",
    "OUT_OF_TIME",
    "CallbackSupportMixin",
    "Job",
    "Limits",
    "Listeners",
    "Result",
    "Task",
    "by_learner",
    "limits_from_now",
    "listeners_of",
    "make_tasks",
    "run_tasks",
    "say",
    "seeded",
    "with_callbacks",
]
