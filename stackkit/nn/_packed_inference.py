"""Fitted BN-MLPs that predict in one pass: one batched matrix product a layer does the work of all.

BN of fixed statistics is affine, and goes into the layer beside it. Shapes: K estimators of M members each, n rows,
d features, of which q have tables of T levels in all, h units, c outputs. Activations are feature-major, (K * M, h, n).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stackkit.nn._encoding import Encoding, PackedEncoding
from stackkit.nn._modules import ACTIVATIONS, BNMLP, TABLE_WIDTH, Average, FrontScale
from stackkit.nn._torch_settings import held

CACHE_BYTES = 2_000_000  # an activation of all networks should not take more


class JointMLP:
    """Averages of BN-MLPs of one shape as one network, in float64; it computes in the precision of the rows.

    Parameters
    ----------
    averages : sequence of Average
        K of them; only the number of their input features may differ.
    """

    def __init__(self, averages: Sequence[Average]) -> None:
        self.n_members, self.classifier = len(averages[0].members), averages[0].classifier
        first: Any = averages[0].members[0]
        self._activation = ACTIVATIONS[first.activation_name]()
        self._encodings = [average.encoder.encoding() for average in averages if average.encoder is not None]
        given: Sequence[Encoding | None] = self._encodings or [None] * len(averages)
        every = [
            layers_of(member, own) for average, own in zip(averages, given, strict=True) for member in average.members
        ]
        self.n_features = [n_inputs_of(average.members[0]) for average in averages]
        if self._encodings:
            self.n_features = [len(encoding.centre) for encoding in self._encodings]
        self._levels = self._taken_off(every) if any(len(own.tables.column) for own in self._encodings) else []
        # Weights (K * M, out, in) and biases (K * M, out, 1).
        layers = zip(*every, strict=True)
        self._layers = [(_stacked([w for w, _ in layer]), _stacked([b for _, b in layer])) for layer in layers]
        self._affine = _joined([average.output_affine for average in averages])
        self._range = _joined([average.output_range for average in averages])

    def _taken_off(self, every: list[list[tuple[Tensor, Tensor]]]) -> list[Tensor]:
        """What the levels of each estimator add to its members' first layers, (1 + T, M * h): taken off their weights.

        Row 0 is for values without a level.
        """
        found = []
        for k, encoding in enumerate(self._encodings):
            own, n = every[k * self.n_members : (k + 1) * self.n_members], encoding.tables.n_entries
            added = []
            for layers in own:
                weight, bias = layers[0]
                layers[0] = weight[:, : weight.shape[1] - n], bias
                added.append(weight[:, weight.shape[1] - n :])
            found.append(nn.functional.pad(torch.cat(added).T, (0, 0, 1, 0)).contiguous())
        return found

    @property
    def device(self) -> torch.device:
        return self._layers[0][0].device

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Tensor:
        """Outputs (K, n, c) in float64 for rows (K, n, d), or (1, n, d) where all get the same."""
        widest = max(bias.shape[0] * bias.shape[1] for _, bias in self._layers)
        widest = max(widest, len(self._encodings) * self._layers[0][0].shape[2])
        size = max(32, CACHE_BYTES // (widest * x.element_size()))
        return torch.cat([self._outputs(x[:, i : i + size]) for i in range(0, x.shape[1], size)], 1)

    def _outputs(self, x: Tensor) -> Tensor:
        (weight, bias), *rest = [(weight.to(x.dtype), bias.to(x.dtype)) for weight, bias in self._layers]
        x, entries = x.transpose(1, 2), None
        if self._encodings:
            n_tables = max(len(encoding.tables.column) for encoding in self._encodings)
            x, _, entries = PackedEncoding(self._encodings, x.shape[1], (weight.shape[2], 0, n_tables), x)(x)
        # The members of an estimator see the same rows: one product of (M * h, d) and (d, n).
        n_inputs, d, _ = x.shape
        z = torch.baddbmm(bias.view(n_inputs, -1, 1), weight.view(n_inputs, -1, d), x)
        if entries is not None:
            for own, rows, levels in zip(z, entries, self._levels, strict=True):  # (M * h, n), (q, n), (1 + T, M * h)
                own.add_(nn.functional.embedding_bag(rows.T, levels.to(z.dtype), mode="sum").T)
        z = z.view(bias.shape[0], bias.shape[1], -1)
        for weight, bias in rest:
            z = torch.baddbmm(bias, weight, self._activation(z))
        outputs = z.view(-1, self.n_members, *z.shape[1:])  # (K, M, c, n)
        if self.classifier:
            mean = (outputs.log_softmax(2).logsumexp(1) - math.log(self.n_members)).double()
        else:
            mean = outputs.mean(1).double()
            if self._affine is not None:
                mean = mean * self._affine[:, 1] + self._affine[:, 0]
            if self._range is not None:
                mean = mean.clamp(self._range[:, 0], self._range[:, 1])
        return mean.transpose(1, 2)


def _joined(pairs: Sequence[Tensor | None]) -> Tensor | None:
    """Two numbers per output of each estimator, as (K, 2, c, 1); None where there are none."""
    given = [pair for pair in pairs if pair is not None]
    return torch.stack(given).unsqueeze(3) if given else None


def n_inputs_of(network: Any) -> int:
    """Of its first layer."""
    return int(next(iter((*network.linears, network.output))).weight.shape[1])


def layers_of(network: Any, encoding: Encoding | None = None) -> list[tuple[Tensor, Tensor]]:
    """Weight (out, in) and bias (out, 1) of each layer in float64, with BN inside.

    Behind the first layer's inputs come the features of a periodic embedding, and then an indicator of each entry of
    the tables of the network's ``encoding``.
    """
    shift, scale = _affine_of(network.input_norm, network)
    if isinstance(network.front_scale, FrontScale):
        factor = network.front_scale.weight.detach().double()
        shift, scale = shift * factor, scale * factor
    layers = []
    beside = [] if network.embedding is None else [network.embedding.into.weight.detach().double()]
    if network.tables is not None and encoding is not None:
        beside.append(_of_entries(network.tables, encoding.tables.entry))
    for linear, norm in zip((*network.linears, network.output), (*network.norms, None), strict=True):
        weight = linear.weight.detach().double()
        bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach().double()
        bias, weight = bias + (weight * shift).sum(1), weight * scale
        weight, beside = torch.cat([weight, *beside], 1), []
        after, factor = _affine_of(norm, network)
        layers.append((weight * factor.view(-1, 1), (bias * factor + after).unsqueeze(1)))
        shift, scale = _affine_of(None, network)
    return layers


def _of_entries(tables: Any, entry: np.ndarray) -> Tensor:
    """What each entry of tables adds to the units of the first layer, (h, T); ``entry`` (q, C) tells whose it is."""
    into, rows = (weight.detach().double() for weight in (tables.into.weight, tables.weight))
    found = into.new_zeros(len(into), len(rows))
    for own, of_column in zip(entry, into.split(TABLE_WIDTH, 1), strict=True):
        there = torch.as_tensor(np.unique(own[own > 0]), device=into.device)
        found[:, there] = of_column @ rows[there].T
    return found[:, 1:]


def _affine_of(norm: Any, network: Any) -> tuple[Tensor, Tensor]:
    """What BN adds, and what it multiplies by before that."""
    if not isinstance(norm, nn.BatchNorm1d):
        like = network.output.weight.detach()
        return like.new_zeros(1, dtype=torch.float64), like.new_ones(1, dtype=torch.float64)
    gamma, beta, mean, var = (
        t.detach().double() for t in (norm.weight, norm.bias, norm.running_mean, norm.running_var) if t is not None
    )
    scale = gamma / (var + norm.eps).sqrt()
    return beta - mean * scale, scale


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """With zeros for features that some lack."""
    widest = max(part.shape[1] for part in parts)
    return torch.stack([nn.functional.pad(part, (0, widest - part.shape[1])) for part in parts])


def _shape_of(average: Any) -> tuple[Any, ...] | None:
    """What has to be the same; None for what is no average of BN-MLPs."""
    if not isinstance(average, Average) or average.input_affine is not None or average.test_shifts:
        return None
    members: list[Any] = list(average.members)
    shapes = {
        _shape_of_network(member) if type(member) is BNMLP and not member.embedding else None for member in members
    }
    if None in shapes or len(shapes) > 1:
        return None
    encoder = average.encoder
    kind = None if encoder is None else (encoder.clips, encoder.imputes)
    return len(members), average.classifier, kind, *shapes


def _shape_of_network(network: Any) -> tuple[Any, ...] | None:
    device = network.output.weight.device
    if device.type not in ("cpu", "cuda"):  # others have no float64
        return None
    layers = (*network.linears, network.output)
    return tuple(layer.weight.shape[0] for layer in layers), network.activation_name, device


def joint_nets(learners: Sequence[Any]) -> JointNets | None:
    """Fitted estimators as one, or None where their networks differ in more than the number of input features."""
    averages = [learner.net_.module_ for learner in learners]
    shapes = {_shape_of(average) for average in averages}
    return None if None in shapes or len(shapes) > 1 else JointNets(learners, JointMLP(averages))


class JointNets:
    """Fitted estimators that predict in one pass; a list of rows goes in, an item an estimator, and a list comes out.

    Parameters
    ----------
    learners : sequence of NetLearner
        The estimators. What they are besides their networks is kept.
    network : JointMLP
        Their networks.
    """

    def __init__(self, learners: Sequence[Any], network: JointMLP) -> None:
        self._network = network
        self._doors = [copy(learner) for learner in learners]
        for door in self._doors:
            del door.net_

    def predict_proba(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Probabilities (n, c) by each estimator."""
        return [door._as_probabilities(found) for door, found in self._answers(inputs)]  # noqa: SLF001

    def predict(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Labels or values by each estimator."""
        return [door._as_prediction(found) for door, found in self._answers(inputs)]  # noqa: SLF001

    def _answers(self, inputs: Sequence[Any]) -> Iterator[tuple[Any, np.ndarray]]:
        same = all(rows is inputs[0] for rows in inputs) and len(set(self._network.n_features)) == 1
        same = same and all(door.categories_in_ is None for door in self._doors)  # each has codes of its own
        checked = [
            door._inputs(rows, "no_validation", reset=False)[0]  # noqa: SLF001 - their own checks
            for door, rows in list(zip(self._doors, inputs, strict=True))[: 1 if same else None]
        ]
        with held(n_threads=self._doors[0].n_threads):
            x = torch.from_numpy(_side_by_side(checked)).to(self._network.device)
            found = self._network(x).cpu().numpy()
        return zip(self._doors, found, strict=True)


def _side_by_side(tables: Sequence[np.ndarray]) -> np.ndarray:
    """Rows (K, n, d), with zeros for features that some lack."""
    widest = max(table.shape[1] for table in tables)
    joined = np.zeros((len(tables), len(tables[0]), widest), np.result_type(*tables))
    for own, table in zip(joined, tables, strict=True):
        own[:, : table.shape[1]] = table
    return joined
