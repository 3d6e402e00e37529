"""How the parameters of all networks of a pack move: neighbours in its flat buffers together, by one optimizer.

The classes of torch.optim take longer than the arithmetic; what they compute is computed here.
Shapes: N networks, for Muon each with one matrix (out, in).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stackkit.nn._autograd_engine import inner_weights
from stackkit.nn._config import ADAM_EPS, BETA_1, SGD_MOMENTUM

MOMENTS = {"adam": ("exp_avg", "exp_avg_sq"), "sgd": ("momentum_buffer",), "muon": ("momentum_buffer",)}
MUON_MOMENTUM = 0.95
# Of torch.optim.Muon, after https://kellerjordan.github.io/posts/muon/.
NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS, NEWTON_SCHULZ_EPS = (3.4445, -4.7750, 2.0315), 5, 1e-7


@dataclass(frozen=True)
class Group:
    """What moves together.

    Attributes
    ----------
    optimizer : {"adam", "sgd", "muon"}
    theta, gradient : Tensor
        Of one shape: (N, out, in) for Muon, else any.
    moments : list of Tensor of that shape
        What the optimizer remembers, as in ``MOMENTS``.
    decay : float
    pace : float
        What the learning rate is multiplied by.
    widths : sequence of int
        Columns that each network's own matrix has, for Muon; behind them are zeros.
    """

    optimizer: str
    theta: Tensor
    gradient: Tensor
    moments: list[Tensor]
    decay: float
    pace: float
    widths: Sequence[int]

    def move(self, lr: float, decay_share: float, beta_2: float, step: Tensor) -> None:
        """``step``: how many there have been, this one included; ``decay_share``: of the decay, which changes."""
        MOVES[self.optimizer](self, lr * self.pace, self.decay * decay_share, beta_2, step)


def optimizers_of(network: nn.Module, optimizer: str) -> dict[str, str]:
    """What moves each parameter of a network, by name: Muon leaves to Adam what is no inner layer's matrix."""
    if optimizer != "muon":
        return {name: optimizer for name, _ in network.named_parameters()}
    inner = {id(weight) for weight in inner_weights(network)}
    return {name: "muon" if id(p) in inner else "adam" for name, p in network.named_parameters()}


def _adam(group: Group, lr: float, decay: float, beta_2: float, step: Tensor) -> None:
    first, second = group.moments
    torch._fused_adamw_(
        [group.theta], [group.gradient], [first], [second], [], [step], lr=lr, beta1=BETA_1, beta2=beta_2,
        weight_decay=decay, eps=ADAM_EPS, amsgrad=False, maximize=False,
    )  # fmt: skip


def _sgd(group: Group, lr: float, decay: float, _beta_2: float, _step: Tensor) -> None:
    torch._fused_sgd_(
        [group.theta], [group.gradient], group.moments, weight_decay=decay, momentum=SGD_MOMENTUM, lr=lr,
        dampening=0.0, nesterov=True, maximize=False, is_first_step=False,
    )  # fmt: skip


def _muon(group: Group, lr: float, decay: float, _beta_2: float, _step: Tensor) -> None:
    theta, (buffer,) = group.theta, group.moments
    buffer.lerp_(group.gradient, 1 - MUON_MOMENTUM)
    update = group.gradient.lerp(buffer, MUON_MOMENTUM)
    theta.mul_(1 - lr * decay)
    for width in set(group.widths):
        # Each matrix in its own shape: it decides on the length of the step, and on how bfloat16 rounds.
        own = torch.tensor([other == width for other in group.widths], device=theta.device)
        rate = lr * 0.2 * math.sqrt(max(theta.shape[1], width))  # as long a step as Adam's
        theta[own, :, :width] = theta[own, :, :width].add_(_orthogonal(update[own, :, :width]), alpha=-rate)


def _orthogonal(matrices: Tensor) -> Tensor:
    """Each of the matrices (k, out, in) with its singular values near one, in bfloat16, by Newton and Schulz."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.bfloat16()
    x = x.transpose(1, 2) if tall else x
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=NEWTON_SCHULZ_EPS)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.transpose(1, 2) if tall else x


MOVES: dict[str, Callable[[Group, float, float, float, Tensor], None]] = {"adam": _adam, "sgd": _sgd, "muon": _muon}
