"""Many BN-MLPs of one shape trained as one network: a batched matrix product does the work of N.

Shapes: N networks (of which k take part in a step), b rows per batch, d features, h units, c outputs.
Activations are feature-major, (k, h, b): then BN over the k * h features of all networks is plain BN over a
view, without a copy. All parameters lie in one flat buffer, so that one call of the optimizer moves them
all. Gradients are written by hand: on small tables autograd's bookkeeping costs more than the arithmetic.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, cached_property
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stackkit.nn._batches import batch_sizes, steps_of, stretches_of
from stackkit.nn._config import Recipe, loss_of
from stackkit.nn._modules import BNMLP, decays, is_table, pace_of
from stackkit.nn._network_state import NetworkState, TrainingTable, load_state
from stackkit.nn._packed_buffers import Blocks, Views
from stackkit.nn._packed_layers import Batch, Norm, View, add_embedded, backward, normalise, normalise_backward, product
from stackkit.nn._packed_optimizers import MOMENTS, Group, optimizers_of
from stackkit.nn._torch_settings import LARGE_PRODUCT, held

aten = torch.ops.aten

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
# In place where the derivative follows from the output, for what was the input is then the output; SiLU and Mish leave
# their input as it is.
FORWARD: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "tanh": torch.tanh_,
    "sigmoid": torch.sigmoid_,
    "selu": torch.selu_,
    "silu": nn.functional.silu,
    "mish": nn.functional.mish,
}
# From the gradient behind an activation, and what its input has become, to the gradient before it.
BACKWARD: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "relu": lambda gradient, output: aten.threshold_backward(gradient, output, 0),
    "tanh": aten.tanh_backward,
    "sigmoid": aten.sigmoid_backward,
    "selu": lambda gradient, output: aten.elu_backward(gradient, SELU_ALPHA, SELU_SCALE, 1, True, output),
    "silu": aten.silu_backward,
    "mish": aten.mish_backward,
}

LEAST_INT64 = -(2**63)
CLIP_EPS = 1e-6  # torch's own

# An activation of all networks of a pack has to stay in the processor's second-level cache.
CACHE_BYTES = 1_000_000
MOST_NETWORKS = 25
# Of inputs that are gathered, encoded and masked together, for several steps: one step alone is soon all overhead.
GATHERED_BYTES = 4_000_000
# Multiplications of one network in one step from which bfloat16 gains more than rounding costs (measured).
NARROW_PRODUCT = 1_000_000


def pack_size(widest: int, batch_size: int, itemsize: int) -> int:
    """How many networks go together best."""
    return max(1, min(MOST_NETWORKS, CACHE_BYTES // (widest * batch_size * itemsize)))


class PackedMLP:
    """N networks in training, moved together."""

    def __init__(self, network_states: Sequence[NetworkState], recipe: Recipe) -> None:
        self.network_states, self.recipe = list(network_states), recipe
        first: Any = max((network_state.network for network_state in network_states), key=_n_features)
        self._activation, self._dropout = first.activation_name, first.dropout.p
        self._regularization = 1.0  # share of dropout and weight decay in this epoch
        self._depth = len(first.linears)
        like = first.output.weight
        parameters = _shapes_of([state.network for state in network_states])
        self._widest = max(shape[0] for name, shape in parameters.items() if not is_table(name))
        self._largest_product = max(shape.numel() for shape in parameters.values())  # a row
        running = {name: b.shape for name, b in first.named_buffers() if b.is_floating_point()}
        n = len(network_states)
        self._theta, self._gradient = Blocks(parameters, n, like), Blocks(parameters, n, like)
        self._optimizers = {
            name: moved_by
            for state in network_states
            for name, moved_by in optimizers_of(state.network, str(recipe.optimizer)).items()
        }
        self._moments = {
            key: Blocks({name: parameters[name] for name in parameters if key in self._keys(name)}, n, like)
            for key in dict.fromkeys(key for name in parameters for key in self._keys(name))
        }
        self._running = Blocks(running, n, like)
        self._step = torch.zeros((), dtype=torch.float32, device=like.device)  # all have made as many
        for i, network_state in enumerate(network_states):
            self._load(i, network_state)
        norms = [module for module in first.modules() if isinstance(module, nn.BatchNorm1d)]
        self._eps, self._momentum = (norms[0].eps, norms[0].momentum or 0.0) if norms else (0.0, 0.0)
        self._rows = network_states[0].table.joined
        self._n_inputs, self._n_columns = _n_features(first), network_states[0].table.inputs.shape[1]
        self._n_features = self._n_inputs
        if network_states[0].encoding is not None:
            self._n_features = max(state.n_features or self._n_columns for state in network_states)
        self._prepare()

    @torch.no_grad()
    def _load(self, i: int, network_state: NetworkState) -> None:
        for name, parameter in network_state.network.named_parameters():
            self._theta.part(name, i, parameter.shape).copy_(parameter)
            for key, value in network_state.moments.get(parameter, {}).items():
                if key == "step":
                    self._step.copy_(value)
                elif key in self._keys(name):  # the net may have had another optimizer
                    self._moments[key].part(name, i, parameter.shape).copy_(value)
        for name, buffer in network_state.network.named_buffers():
            if name in self._running.of:
                self._running.part(name, i, buffer.shape).copy_(buffer)

    def _prepare(self) -> None:
        """What depends on who is in the pack."""
        self._groups = [
            self._group(list(names), decay, pace)
            for (_, decay, pace, _), names in groupby(self._theta.shapes, key=self._how_it_moves)
        ]
        encodings = [state.encoding for state in self.network_states]
        widths = self._n_features, self._n_inputs
        buffers = self._theta, self._gradient, self._running
        self._view = cache(Views(*buffers, encodings, widths, self._depth, self._narrow_layers()))
        self.__dict__.pop("_validation", None)
        self._weight = _stacked([network_state.weight for network_state in self.network_states])
        self._mean = _stacked([network_state.mean for network_state in self.network_states])
        self._scale = _stacked([network_state.scale for network_state in self.network_states])
        self._unseen = self._joined_unseen()
        self._n_train = torch.tensor([float(len(p.train)) for p in self.network_states], device=self._rows.device)

    def _narrow_layers(self) -> list[str]:
        """Hidden layers of large products, where bfloat16 is to be used; the first if its inputs are in ramps.

        Other inputs may be large numbers with small differences, and these are lost in bfloat16.
        """
        if not self.recipe.bfloat16:
            return []
        encodings = [state.encoding for state in self.network_states]
        in_ramps = all(encoding is not None and encoding.has_ramps for encoding in encodings)
        names = [f"linears.{i}" for i in range(0 if in_ramps else 1, self._depth)]
        return [name for name in names if self._n_products(name) >= NARROW_PRODUCT]

    def _n_products(self, name: str) -> int:
        """Multiplications of one network in one step."""
        return self._theta.shapes[f"{name}.weight"].numel() * self.recipe.batch_size

    def _keys(self, name: str) -> tuple[str, ...]:
        """What the optimizer remembers of a parameter."""
        return MOMENTS[self._optimizers[name]]

    def _how_it_moves(self, name: str) -> tuple[str, float, float, str]:
        """The same for neighbours that move in one call: only matrices decay, and Muon takes one layer at a time."""
        optimizer = self._optimizers[name]
        decay = self.recipe.weight_decay if decays(name, len(self._theta.shapes[name])) else 0.0
        return optimizer, decay, pace_of(name, self.recipe.lr), name if optimizer == "muon" else ""

    def _group(self, names: list[str], decay: float, pace: float) -> Group:
        return Group(
            self._optimizers[names[0]],
            self._theta.together(names),
            self._gradient.together(names),
            [self._moments[key].together(names) for key in self._keys(names[0])],
            decay,
            pace,
            [_width_of(state.network, names[0]) for state in self.network_states],
        )

    def _joined_unseen(self) -> Tensor | None:
        """What each network does not get to see, (n, inputs, 1)."""
        given = [
            (i, network_state.unseen)
            for i, network_state in enumerate(self.network_states)
            if network_state.unseen is not None
        ]
        if not given:
            return None
        unseen = torch.zeros(len(self.network_states), self._n_inputs, 1, dtype=torch.bool, device=self._rows.device)
        for i, own in given:
            unseen[i, : len(own), 0] = own
        return unseen

    # --- one epoch -----------------------------------------------------------------------------------

    @torch.inference_mode()
    def epoch(self, epoch: int) -> list[float]:
        """Go once through every network's rows; gives each network's mean loss."""
        with held(fast_products=self._largest_product * self.recipe.batch_size >= LARGE_PRODUCT):
            return self._epoch(epoch)

    def _epoch(self, epoch: int) -> list[float]:
        self._regularization = self.recipe.regularization(epoch)
        orders = [network_state.shuffled() for network_state in self.network_states]
        n_steps = len(batch_sizes(len(orders[0]), self.recipe.batch_size))
        losses = torch.zeros(len(self.network_states), dtype=self._theta.flat.dtype, device=self._rows.device)
        for step, parts in enumerate(self._batches(orders)):
            for view, batch in parts:
                losses[view.start : view.stop] += self._learn(view, batch) * batch.target.shape[2]
            self._move(self.recipe.rate(epoch + step / n_steps))
        return (losses / self._n_train).tolist()

    def _batches(self, orders: Sequence[Tensor]) -> Iterator[list[tuple[View, Batch]]]:
        """Step by step, for each part of the networks; inputs and masks are made for several steps at once."""
        for parts in stretches_of(orders, self.recipe.batch_size):
            length = len(parts[0][2])
            widest = max(self._n_inputs, self._widest) * sum(rows.shape[1] * rows.shape[2] for _, _, rows in parts)
            at_once = max(1, GATHERED_BYTES // (widest * self._theta.flat.itemsize))
            for first in range(0, length, at_once):
                made = [
                    (view := self._view(start, stop), self._several(view, rows[first : first + at_once]))
                    for start, stop, rows in parts
                ]
                for step in range(min(at_once, length - first)):
                    yield [(view, batches[step]) for view, batches in made]

    def _several(self, view: View, rows: Tensor) -> list[Batch]:
        """Batches of several steps, of rows (steps, k, b)."""
        steps, k, b = rows.shape
        joined = self._batch(view, rows.transpose(0, 1).reshape(k, steps * b))
        masks = self._masks(view, steps, b) if self._dropout else [()] * steps
        return [joined.part(slice(step * b, (step + 1) * b), masks[step]) for step in range(steps)]

    def _learn(self, view: View, batch: Batch) -> Tensor:
        """Write the gradients of one batch; give each network's mean loss."""
        x = batch.inputs
        if view.input_norm is not None:
            x, of_input = normalise(x, view.input_norm, self._momentum, self._eps)
        activation, tape = x, []
        for i, layer in enumerate(view.hidden):
            before = activation.bfloat16() if layer.narrow else activation
            z = product(layer, before)
            if i == 0:
                back = add_embedded(view, batch, z)
            saved: Any = None
            if layer.norm is not None:
                z, saved = normalise(z, layer.norm, self._momentum, self._eps)
            activation = FORWARD[self._activation](z)
            mask = batch.masks[i] if batch.masks else None
            if mask is not None:
                activation = activation * mask
            tape.append((layer, before, saved, z, mask))
        output = product(view.output, activation)
        if not tape:
            back = add_embedded(view, batch, output)
        loss, dz = self._loss(output, batch.target, batch.weight)
        gradient = backward(view.output, activation, dz, needs_input=bool(tape) or view.input_norm is not None)
        for i, (layer, before, saved, z, mask) in reversed(list(enumerate(tape))):
            if mask is not None:
                gradient = gradient * mask
            dz = BACKWARD[self._activation](gradient, z)
            if layer.norm is not None:
                dz = normalise_backward(dz, layer.norm, saved, self._eps)
            gradient = backward(layer, before, dz, needs_input=i > 0 or view.input_norm is not None)
        for write_gradients in back:
            write_gradients(dz)
        if view.input_norm is not None:
            normalise_backward(gradient, view.input_norm, of_input, self._eps)
        return loss

    def _batch(self, view: View, rows: Tensor) -> Batch:
        """Of rows (k, b), with nothing dropped."""
        k, b = rows.shape
        both = self._rows.index_select(0, rows.reshape(-1)).view(k, b, -1).transpose(1, 2)
        x, target = both[:, : self._n_features], both[:, self._n_columns :]
        periodic = entries = None
        if view.encoding is not None:
            x, periodic, entries = view.encoding(x)
        if self._unseen is not None:
            x.masked_fill_(self._unseen[view.start : view.stop], 0.0)
        if self._mean is not None and self._scale is not None:
            mean, scale = (t[view.start : view.stop].unsqueeze(2) for t in (self._mean, self._scale))
            target = (target - mean) / scale
        if self._weight is None:
            return Batch(x, target, None, periodic, entries)
        weight = self._weight[view.start : view.stop].gather(1, rows).unsqueeze(1)
        return Batch(x, target, weight, periodic, entries)

    def _loss(self, output: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean loss of each network, and its gradient at the output."""
        b, c = output.shape[2], output.shape[1]
        if self.recipe.classifier:
            logs = output.log_softmax(1)
            losses, gradient = -(logs * target), logs.exp_().sub_(target).div_(b)
        else:
            difference = output - target
            losses, gradient = difference.square().div_(c), difference.mul_(2 / (b * c))
        if weight is not None:
            losses, gradient = losses * weight, gradient * weight
        return losses.sum((1, 2)).div_(b), gradient

    def _masks(self, view: View, steps: int, b: int) -> list[list[Tensor]]:
        """Inverted dropout, of each step a mask (k, h, b) per hidden layer; each network draws from its own generator.

        Sixteen random bits decide on an activation: four draws in one, and several times faster than one by one.
        """
        sizes = [layer.weight.shape[1] * b for layer in view.hidden]
        draws = -(-sum(sizes) // 4)  # of 64 bits; as many for each step, however many steps are drawn at once
        bits = torch.empty(view.stop - view.start, steps, draws, dtype=torch.int64)
        for own, network_state in zip(bits, self.network_states[view.start : view.stop], strict=True):
            own.random_(LEAST_INT64, None, generator=network_state.noise)
        keep = 1 - self._dropout * self._regularization
        kept = (bits.view(torch.int16) < round(keep * 2**16) - 2**15).to(self._theta.flat).div_(keep)
        ends = np.cumsum([0, *sizes])
        return [
            [kept[:, step, a:e].reshape(len(kept), -1, b) for a, e in pairwise(ends.tolist())] for step in range(steps)
        ]

    def _shorten(self, most: float) -> None:
        """Limit the norm of each network's own gradient, as torch.nn.utils.clip_grad_norm_ does."""
        blocks = [block.flatten(1) for block in self._gradient.of.values()]
        norms = torch.stack([torch.linalg.vector_norm(block, dim=1) for block in blocks])
        factor = (most / (torch.linalg.vector_norm(norms, dim=0) + CLIP_EPS)).clamp(max=1.0).unsqueeze(1)
        for block in blocks:
            block.mul_(factor)

    def _move(self, lr: float) -> None:
        if self.recipe.clip_norm is not None:
            self._shorten(self.recipe.clip_norm)
        self._step += 1
        for group in self._groups:
            group.move(lr, self._regularization, self.recipe.beta_2, self._step)

    # --- between epochs --------------------------------------------------------------------------------

    @torch.inference_mode()
    def validation_losses(self) -> list[float]:
        """Each network's mean loss on the rows it does not learn from."""
        rows, share = self._validation
        view, total = self._view(0, len(rows)), torch.zeros(len(rows), dtype=share.dtype, device=share.device)
        for start in range(0, rows.shape[1], self._at_once):
            part = slice(start, start + self._at_once)
            own_rows, own_share = rows[:, part], share[:, :, part]
            batch = self._batch(view, own_rows)
            weight = own_share if batch.weight is None else batch.weight * own_share
            loss, _ = self._loss(self._infer(view, batch), batch.target, weight)
            total += loss * own_rows.shape[1]
        return total.tolist()

    @cached_property
    def _validation(self) -> tuple[Tensor, Tensor]:
        """Rows (n, b) that the networks do not learn from, and the share (n, 1, b) of each in the mean loss.

        Shorter ones are filled up with rows of no weight.
        """
        own = [network_state.valid_rows for network_state in self.network_states]
        rows = torch.stack([nn.functional.pad(part, (0, max(map(len, own)) - len(part))) for part in own])
        share = torch.zeros(len(own), 1, rows.shape[1], dtype=self._theta.flat.dtype, device=rows.device)
        for i, part in enumerate(own):
            share[i, 0, : len(part)] = 1 / len(part)
        return rows, share

    @property
    def _at_once(self) -> int:
        """Rows of each network that are evaluated together."""
        widest = max(self._n_inputs, self._widest) * len(self.network_states)
        return max(32, CACHE_BYTES // (widest * self._theta.flat.itemsize))

    def _infer(self, view: View, batch: Batch) -> Tensor:
        x = batch.inputs
        if view.input_norm is not None:
            scale, shift = self._as_affine(view.input_norm, x.shape[0])
            x = x * scale + shift
        for i, layer in enumerate(view.hidden):
            x = product(layer, x)
            if i == 0:
                add_embedded(view, batch, x)
            if layer.norm is not None:
                scale, shift = self._as_affine(layer.norm, x.shape[0])
                x = x * scale + shift
            x = FORWARD[self._activation](x)
        x = product(view.output, x)
        if not view.hidden:
            add_embedded(view, batch, x)
        return x

    def _as_affine(self, norm: Norm, k: int) -> tuple[Tensor, Tensor]:
        scale = norm.gamma / (norm.var + self._eps).sqrt()
        return scale.view(k, -1, 1), (norm.beta - norm.mean * scale).view(k, -1, 1)

    @torch.inference_mode()
    def population_statistics(self) -> None:
        """Algorithm 2 of Ioffe and Szegedy: means of the batches' means and unbiased variances, weights fixed."""
        if not self._running.of:
            return
        orders = [network_state.sample() for network_state in self.network_states]
        for step, parts in enumerate(steps_of(orders, self.recipe.batch_size)):
            for start, stop, rows in parts:
                view = self._view(start, stop)
                batch = self._batch(view, rows)
                x = batch.inputs
                share = 1 / (step + 1)  # a running average with this share is the plain mean
                if view.input_norm is not None:
                    x, _ = normalise(x, view.input_norm, share, self._eps)
                for i, layer in enumerate(view.hidden):
                    x = product(layer, x)
                    if i == 0:
                        add_embedded(view, batch, x)
                    if layer.norm is not None:
                        x, _ = normalise(x, layer.norm, share, self._eps)
                    x = FORWARD[self._activation](x)

    def state(self, i: int) -> list[Tensor]:
        """A copy of what training has made of network i so far, in the order of its own parameters and buffers."""
        network = self.network_states[i].network
        parameters = [self._theta.part(name, i, p.shape).clone() for name, p in network.named_parameters()]
        buffers = [(name, buffer) for name, buffer in network.named_buffers() if name in self._running.of]
        return [*parameters, *(self._running.part(name, i, buffer.shape).clone() for name, buffer in buffers)]

    def shown(self, i: int) -> AbstractContextManager[None]:
        """While network i is looked at, it holds what training has made of it so far."""
        load_state(self.network_states[i].network, self.state(i))
        return nullcontext()

    def moments(self, i: int) -> dict[Tensor, dict[str, Any]]:
        """What the optimizer remembers of network i, as torch's optimizers keep it."""
        return {
            parameter: {key: self._moments[key].part(name, i, parameter.shape).clone() for key in self._keys(name)}
            | ({"step": self._step.clone()} if self._optimizers[name] == "adam" else {})
            for name, parameter in self.network_states[i].network.named_parameters()
        }

    def keep(self, indices: list[int]) -> None:
        """Go on with these networks alone."""
        self.network_states = [self.network_states[i] for i in indices]
        self._theta, self._gradient = self._theta.select(indices), self._gradient.select(indices)
        self._moments = {key: blocks.select(indices) for key, blocks in self._moments.items()}
        self._running = self._running.select(indices)
        self._prepare()

    @torch.inference_mode()
    def gradient_is(self, expected: Sequence[Tensor]) -> bool:
        """Whether the first network's gradients over its whole part, unshuffled, are these; for a test of torch."""
        view = self._view(0, 1)
        self._learn(view, self._batch(view, self.network_states[0].train.unsqueeze(0)))
        found = [self._gradient.of[name][0] for name, _ in self.network_states[0].network.named_parameters()]
        return all(torch.allclose(a, b, atol=1e-10) for a, b in zip(found, expected, strict=True))


def _shapes_of(networks: Sequence[nn.Module]) -> dict[str, torch.Size]:
    """Of all parameters that any of the networks has, as large as the largest; matrices, which decay, come first."""
    shapes: dict[str, torch.Size] = {}
    for network in networks:
        for name, parameter in network.named_parameters():
            known = shapes.get(name, parameter.shape)
            shapes[name] = torch.Size(max(a, b) for a, b in zip(known, parameter.shape, strict=True))
    return dict(sorted(shapes.items(), key=lambda item: (-pace_of(item[0], 0.0), not decays(item[0], len(item[1])))))


def _width_of(network: nn.Module, name: str) -> int:
    """Columns of one of its parameters; none of one that it lacks beside others."""
    return next((parameter.shape[-1] for own, parameter in network.named_parameters() if own == name), 0)


def _n_features(network: Any) -> int:
    return next(module.weight.shape[1] for module in (*network.linears, network.output))


def _stacked(tensors: Sequence[Tensor | None]) -> Tensor | None:
    given = [tensor for tensor in tensors if tensor is not None]
    return torch.stack(given) if given else None


@cache
def is_exact_here() -> bool:
    """Whether this torch's inner functions still do what the gradients by hand expect of them."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        network = BNMLP(3, 2, (4,)).double()
    x, rows = torch.randn(8, 3, generator=generator).double(), torch.arange(8)
    targets = torch.eye(2).double()[rows % 2]
    loss: Any = loss_of(network(x), targets, None, classifier=True)
    expected = torch.autograd.grad(loss, list(network.parameters()))
    try:
        network_state = NetworkState(network, TrainingTable(x, targets), rows, generator, generator)
        pack = PackedMLP([network_state], Recipe(classifier=True, max_epochs=1, batch_size=8, lr=0.1))
        return pack.gradient_is(expected)
    except (AttributeError, RuntimeError, TypeError):
        return False
