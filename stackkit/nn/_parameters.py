"""The estimators' parameters, checked at ``fit``."""

from collections.abc import Iterable
from inspect import signature
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from stackkit._utils import choice
from stackkit.nn._config import SCHEDULES
from stackkit.nn._encoding import SCALINGS
from stackkit.nn._modules import ACTIVATIONS

DTYPES = {"float32": torch.float32, "float64": torch.float64}
# skorch's net holds one too, to keep the moments between calls of partial_fit.
OPTIMIZERS = {"adam": torch.optim.AdamW, "sgd": torch.optim.SGD, "muon": torch.optim.AdamW}

CHOICES: dict[str, list[str | None]] = {
    "activation": list(ACTIVATIONS),
    "dtype": list(DTYPES),
    "batch_stats": ["population", "running"],
    "schedule": list(SCHEDULES),
    "regularization_schedule": ["constant", "cosine", "flat-cosine"],
    "optimizer": list(OPTIMIZERS),
    "precision": ["bfloat16", "float32"],
    "scaling": [*SCALINGS, None],
    "num_embedding": ["ple", "pbld", None],
    "missing": ["error", "indicator"],
}
# name -> kind, least, below what
NUMBERS: dict[str, tuple[Any, float, float]] = {
    "max_epochs": (Integral, 1, float("inf")),
    "batch_size": (Integral, 2, float("inf")),
    "n_members": (Integral, 1, float("inf")),
    "snapshots": (Integral, 1, float("inf")),
    "n_iter_no_change": (Integral, 1, float("inf")),
    "n_threads": (Integral, 1, float("inf")),
    "lr": (Real, 0, float("inf")),
    "weight_decay": (Real, 0, float("inf")),
    "tol": (Real, 0, float("inf")),
    "dropout": (Real, 0, 1),
    "beta_2": (Real, 0, 1),
    "n_bins": (Integral, 2, float("inf")),
    "ema_decay": (Real, 0, 1),
    "cutout": (Integral, 1, float("inf")),
}
# Callbacks with hooks for batches that do their work at the end of an epoch all the same.
EPOCH_CALLBACKS = {"EpochScoring", "PassThroughScoring", "ProgressBar"}


def check_parameters(estimator: Any) -> None:
    """Raise ValueError at the first parameter that cannot be used."""
    owner, given = type(estimator).__name__, estimator.get_params(deep=False)
    closed = {name: value for name, value in given.items() if not _is_open(estimator, name, value)}
    if isinstance(given["optimizer"], type):
        _check_optimizer(owner, closed.pop("optimizer"))
    for name, allowed in CHOICES.items():
        if name in closed and closed[name] not in allowed:
            raise choice(name, owner, allowed, closed[name])
    for name, (kind, least, below) in NUMBERS.items():
        if name in closed:
            _check_number(name, owner, closed[name], kind, least, below)
    if "clip_norm" in closed:
        _check_clip_norm(owner, closed["clip_norm"])
    if "hidden_layer_sizes" in closed:
        _check_sizes(owner, closed["hidden_layer_sizes"])
    if isinstance(given["early_stopping"], str) and not _is_open(estimator, "early_stopping", given["early_stopping"]):
        raise choice("early_stopping", owner, [True, False], given["early_stopping"])
    stops = given["early_stopping"] and given["early_stopping"] != "auto"
    if given["snapshots"] is not None and (stops or given["warm_start"]):
        raise ValueError(
            f"{owner} takes snapshots at the ends of the learning rate's cycles, which early_stopping and warm_start "
            f"would break up. Leave them False, or set snapshots=None."
        )
    _check_callbacks(owner, given["callbacks"])


def _is_open(estimator: Any, name: str, value: Any) -> bool:
    """Left to the estimator: None or "auto", where that is allowed."""
    default = signature(type(estimator)).parameters[name].default
    if isinstance(value, str) and value == "auto":
        return default == "auto" or name == "n_members"
    return value is None and (default is None or name == "n_threads")


def _check_optimizer(owner: str, optimizer: type) -> None:
    if not issubclass(optimizer, torch.optim.Optimizer):
        raise ValueError(  # noqa: TRY004  # one kind of error for all parameters
            f"The 'optimizer' parameter of {owner} must be one of {', '.join(map(repr, OPTIMIZERS))} or a subclass of "
            f"torch.optim.Optimizer; got {optimizer!r}."
        )


def _check_sizes(owner: str, sizes: Any) -> None:
    numbers: list[Any] = list(sizes) if isinstance(sizes, Iterable) and not isinstance(sizes, str) else [None]
    if not all(isinstance(size, int | np.integer) and size >= 1 for size in numbers):
        raise ValueError(
            f"The 'hidden_layer_sizes' parameter of {owner} must be a sequence of whole numbers, 1 or more; "
            f"got {sizes!r}."
        )


def _check_number(name: str, owner: str, value: Any, kind: Any, least: float, below: float) -> None:
    if isinstance(value, kind) and not isinstance(value, bool) and least <= value < below:
        return
    whole = "a whole number" if kind is Integral else "a number"
    limit = f"{least} or more" if below == float("inf") else f"at least {least} and less than {below}"
    raise ValueError(f"The {name!r} parameter of {owner} must be {whole}, {limit}; got {value!r}.")


def _check_clip_norm(owner: str, value: Any) -> None:
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not is_number or not 0 < float(value) < float("inf"):
        raise ValueError(f"The 'clip_norm' parameter of {owner} must be a number above 0, or None; got {value!r}.")


def _check_callbacks(owner: str, callbacks: Any) -> None:
    if callbacks is not None and not isinstance(callbacks, list | tuple):
        raise ValueError(f"The 'callbacks' parameter of {owner} must be a list of skorch callbacks; got {callbacks!r}.")
    for item in callbacks or ():
        callback = item[1] if isinstance(item, tuple) else item
        kind = callback if isinstance(callback, type) else type(callback)
        for hook in ("on_batch_begin", "on_batch_end", "on_grad_computed"):
            own = getattr(kind, hook, None) is not getattr(Callback, hook)
            if own and kind.__name__ not in EPOCH_CALLBACKS:
                raise ValueError(
                    f"The 'callbacks' parameter of {owner} takes skorch callbacks that act on epochs; "
                    f"{kind.__name__} has {hook}, which would never be called. For the learning rate set 'schedule', "
                    f"against long gradients 'clip_norm'; for the rest make a skorch net of your own a learner of the "
                    f"stack."
                )
