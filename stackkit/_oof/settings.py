"""How a fit is run, besides what is fitted to what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any
from warnings import warn

import numpy as np
from sklearn import get_config
from sklearn.utils import check_random_state

from stackkit._execution import NOBODY, Job, Limits, Listeners, Task, limits_from_now
from stackkit._members import group_params, routed_params, weight_params
from stackkit._oof.failures import OnError
from stackkit._store import StoreFiles, StoreProblem, open_store
from stackkit._utils import choice
from stackkit.exceptions import IgnoredWeightsWarning, StoreWarning


@dataclass(frozen=True)
class Settings:
    """How a fit is run, besides what is fitted to what."""

    n_jobs: int | None
    memory: Any  # what the user gave
    store: StoreFiles | None  # what that opened
    limits: Limits
    entropy: int  # the root of every seed
    on_error: OnError
    verbose: bool
    listeners: Listeners = NOBODY

    @contextmanager
    def applied(
        self, job: Job, tasks: Sequence[Task], stage: str
    ) -> Iterator[tuple[Job, Sequence[Task], dict[str, Any]]]:
        """What ``run_tasks`` takes: the job with its store, tasks that are listened to, and how they are run."""
        stop = self.on_error == "raise"
        how = {"n_jobs": self.n_jobs, "limits": self.limits, "stop_at_failure": stop, "verbose": self.verbose}
        with self.listeners.hear_of(stage, tasks) as announced:
            yield replace(job, store=self.store), announced, how


def settings_of(
    *,
    n_jobs: Any,
    memory: Any,
    on_error: Any,
    task_timeout: Any,
    time_limit: Any,
    max_memory: Any,
    random_state: Any,
    verbose: Any,
) -> Settings:
    """The user's parameters, checked; the clock of ``time_limit`` starts."""
    if on_error not in ("raise", "drop"):
        raise choice("on_error", "a stack", ("raise", "drop"), on_error)
    if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral) or n_jobs == 0):
        raise ValueError(
            f"The 'n_jobs' parameter must be a number of workers, -1 for all cores, or None; got {n_jobs!r}. Use -1 "
            "for all."
        )
    limits = limits_from_now(task_timeout, time_limit, max_memory)
    # With a store, None has to be the same the next time: else nothing could be found again.
    seed = 0 if random_state is None and memory is not None else random_state
    entropy = int(check_random_state(seed).randint(2**31))
    return Settings(
        None if n_jobs is None else int(n_jobs), memory, _opened(memory), limits, entropy, on_error, verbose
    )


def _opened(memory: Any) -> StoreFiles | None:
    """A stack can do without its store: what is wrong with it is said once."""
    try:
        return open_store(memory)
    except StoreProblem as problem:
        warn(f"The store is not used: {problem}", StoreWarning, stacklevel=4)
        return None


def split_seed(entropy: int) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def learner_params(
    learners: Sequence[tuple[str, Any]], weights: np.ndarray | None, groups: Any = None
) -> dict[str, dict[str, Any]]:
    """Weights for the learners that take them, the others are named; groups for those that ask for them.

    With metadata routing each learner gets what it requests.
    """
    if get_config()["enable_metadata_routing"]:
        given = {"sample_weight": weights, "groups": groups}
        given = {name: value for name, value in given.items() if value is not None}
        return {name: routed_params(learner, given) for name, learner in learners}
    params = {name: weight_params(learner, weights) for name, learner in learners}
    without = [name for name, found in params.items() if found is None]
    if without:
        warn(
            f"The learner(s) {without} take no sample_weight and are fitted without it.",
            IgnoredWeightsWarning,
            stacklevel=3,
        )
    return {name: (params[name] or {}) | group_params(learner, groups) for name, learner in learners}
