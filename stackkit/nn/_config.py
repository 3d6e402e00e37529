"""How a network is trained: the numbers, the learning rate's schedule, the loss."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

WARM_UP = 0.3  # share of a one-cycle schedule in which the rate climbs
BETA_1 = 0.9
ADAM_EPS = 1e-8
SGD_MOMENTUM = 0.9


def _one_cycle(done: float) -> float:
    if done < WARM_UP:
        return 0.1 + 0.9 * done / WARM_UP
    return max(1e-3, _cosine((done - WARM_UP) / (1 - WARM_UP)))


def _cosine(done: float) -> float:
    return (1 + math.cos(math.pi * done)) / 2


def _flat_cosine(done: float) -> float:
    return _cosine(max(1.0, 2 * done) - 1)


def _coslog4(done: float) -> float:
    """Four cycles from zero to zero, each about twice as long as the one before."""
    return (1 - math.cos(2 * math.pi * math.log2(1 + 15 * done))) / 2


# From the share of a cycle that is done to the share of the learning rate.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "one-cycle": _one_cycle,
    "cosine": _cosine,
    "flat-cosine": _flat_cosine,
    "coslog4": _coslog4,
}


@dataclass(frozen=True)
class Recipe:
    """What all networks of one fit have in common.

    Attributes
    ----------
    classifier : bool
        Cross-entropy on one-hot targets, else squared errors.
    max_epochs, batch_size, lr, weight_decay
        As in the estimators.
    schedule : {"constant", "one-cycle", "cosine", "flat-cosine", "coslog4"}
        Schedule of the learning rate over a cycle.
    regularization_schedule : {"constant", "cosine", "flat-cosine"}
        What dropout and weight decay are over a cycle.
    cycles : int
        Cosine restarts; a copy of the network stays behind at the end of each.
    optimizer : {"adam", "sgd", "muon"} or subclass of torch.optim.Optimizer
    beta_2 : float
        Adam's memory of squared gradients: the share that a step keeps.
    clip_norm : float or None
        Most that the norm of a network's gradient, over all its parameters, may be; longer ones are shortened to it.
    patience : int or None
        Epochs without a better validation loss after which a network stops; None: there is no validation.
    tol : float
        What counts as better.
    population : bool
        Statistics of BN over the whole training part after training, instead of running averages.
    ema_decay : float or None
        A network trained by itself ends with the moving average of its weights over the steps; None: with the last.
    bfloat16 : bool
        Multiply in bfloat16: all of a network that is trained by itself, large hidden layers of a pack.
    augment : callable or None
        Distorts a batch of images, given a generator.
    device : torch.device
    """

    classifier: bool
    max_epochs: int
    batch_size: int
    lr: float
    schedule: Literal["constant", "one-cycle", "cosine", "flat-cosine", "coslog4"] = "constant"
    regularization_schedule: Literal["constant", "cosine", "flat-cosine"] = "constant"
    cycles: int = 1
    optimizer: str | type[torch.optim.Optimizer] = "adam"
    beta_2: float = 0.999
    weight_decay: float = 0.0
    clip_norm: float | None = None
    patience: int | None = None
    tol: float = 1e-4
    population: bool = True
    ema_decay: float | None = None
    bfloat16: bool = False
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def cycle_ends(self) -> list[int]:
        """Epochs after which a cycle of the learning rate is over."""
        return [round(self.max_epochs * (i + 1) / self.cycles) for i in range(self.cycles)]

    def rate(self, epochs: float) -> float:
        """Learning rate after so many epochs, whole and parts."""
        return self.lr * self._share(self.schedule, epochs)

    def regularization(self, epoch: int) -> float:
        """What dropout and weight decay are multiplied by in an epoch."""
        return self._share(self.regularization_schedule, epoch)

    def _share(self, schedule: str, epochs: float) -> float:
        if schedule == "constant":
            return 1.0
        end = next(end for end in self.cycle_ends if epochs < end)
        start = max((end for end in self.cycle_ends if end <= epochs), default=0)
        return SCHEDULES[schedule]((epochs - start) / (end - start))


def loss_of(output: Tensor, target: Tensor, weight: Tensor | None, *, classifier: bool) -> Tensor:
    """Mean loss of a batch.

    Parameters
    ----------
    output, target : Tensor of shape (n, c)
        Logits and one-hot classes, or values.
    weight : Tensor of shape (n,) or None
        Mean one over the training part, so that the size of the weights does not act on the learning rate.
    classifier : bool
    """
    losses = -(output.log_softmax(1) * target).sum(1) if classifier else (output - target).square().mean(1)
    return (losses if weight is None else losses * weight).mean()
