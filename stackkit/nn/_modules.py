"""Batch-Normalised networks as plain torch modules: activation(BN(W u)), and no bias before BN.

Shapes: n rows, d features, h units, c classes or outputs. In front of BN a bias would do nothing, since the
batch mean takes it away again; ``beta`` stands in its place.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stackkit.nn._augment import shifted_views
from stackkit.nn._encoding import Encoder, Encoding

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
}


# By how much slower a periodic embedding learns than the matrices: it acts on everything behind it.
EMBEDDING_PACE = 0.1


class PeriodicEmbedding(nn.Module):
    """Waves of each column, mixed to a few features, and what a layer of ``n_units`` makes of them.

    The embedding PBLD of D. Holzmüller, L. Grinsztajn and I. Steinwart, "Better by Default" (NeurIPS 2024), section 3:
    ``weight @ cos(2 pi frequency x + phase)``, beside the bare column, which is an input of the layer anyway. Its bias
    is left out: BN would take it away again.

    Shapes: n rows, m columns, 16 waves, 3 features a column, h units.
    """

    def __init__(self, n_columns: int, n_units: int, n_waves: int = 16, n_features: int = 3) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_waves)
        self.frequency = nn.Parameter(0.1 * torch.randn(n_columns, n_waves))
        self.phase = nn.Parameter(math.pi * (2 * torch.rand(n_columns, n_waves) - 1))
        self.weight = nn.Parameter(bound * (2 * torch.rand(n_columns, n_features, n_waves) - 1))
        self.into = nn.Linear(n_columns * n_features, n_units, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # (n, m)
        waves = torch.cos(2 * math.pi * self.frequency * x.unsqueeze(2) + self.phase)  # (n, m, 16)
        features = torch.einsum("nmf,mgf->nmg", waves, self.weight)  # (n, m, 3)
        h: Tensor = self.into(features.flatten(1))  # (n, h)
        return h


TABLE_WIDTH = 8  # numbers that a level has
TABLE_SCALE = 0.3  # standard deviation of these at the start


class LevelTables(nn.Module):
    """A row of learned numbers for each level of some columns, and what a layer of ``n_units`` makes of them.

    The entity embeddings of C. Guo and F. Berkhahn (arXiv:1604.06737, 2016); eight numbers a level, as in
    D. Holzmüller, L. Grinsztajn and I. Steinwart, "Better by Default" (NeurIPS 2024), appendix A. Row 0 is for values
    without a level of their own: it is zero, and stays so.

    Shapes: n rows, q columns, T levels, h units.
    """

    def __init__(self, n_columns: int, n_entries: int, n_units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(TABLE_SCALE * torch.randn(1 + n_entries, TABLE_WIDTH))  # (1 + T, 8)
        self.weight.data[0] = 0.0
        self.into = nn.Linear(n_columns * TABLE_WIDTH, n_units, bias=False)

    def forward(self, entries: Tensor) -> Tensor:  # (n, q)
        rows = nn.functional.embedding(entries.long(), self.weight, padding_idx=0)  # (n, q, 8)
        h: Tensor = self.into(rows.flatten(1))  # (n, h)
        return h


# How much faster factors of inputs learn, since each acts on one input only, and their fastest rate: they start at one.
FRONT_PACE, FRONT_RATE = 20.0, 0.06


class FrontScale(nn.Module):
    """Each input times a learned factor, one at the start: what is of no use can be turned down as a whole.

    The scaling layer of D. Holzmüller, L. Grinsztajn and I. Steinwart, "Better by Default" (NeurIPS 2024), section 3.
    """

    def __init__(self, n_inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_inputs))

    def forward(self, x: Tensor) -> Tensor:  # (n, d)
        return x * self.weight


def decays(name: str, n_axes: int) -> bool:
    """Whether a parameter of a network decays: matrices and filters do, but no tables, nor what waves are made of."""
    return n_axes > 1 and not _makes_waves(name) and not is_table(name)


def pace_of(name: str, lr: float) -> float:
    """Of a parameter of a network: what the learning rate ``lr`` is multiplied by."""
    if name.startswith("front_scale."):
        return FRONT_PACE if FRONT_PACE * lr <= FRONT_RATE else FRONT_RATE / lr
    return EMBEDDING_PACE if _makes_waves(name) else 1.0


def is_table(name: str) -> bool:
    """Whether a parameter of a network has a row for each level, not for each unit."""
    return name == "tables.weight"


def _makes_waves(name: str) -> bool:
    return name.startswith("embedding.") and not name.startswith("embedding.into.")


class BNMLP(nn.Module):
    """Dense layers, each followed by BN, an activation and dropout; then a linear output layer.

    Parameters
    ----------
    n_features, n_outputs : int
        Columns that go in and numbers (logits) that come out.
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of each hidden layer.
    activation : {"relu", "tanh", "sigmoid", "selu", "silu", "mish"}, default="relu"
        Comes after BN.
    batch_norm : bool, default=True
        False leaves BN out, for comparison; the layers then have biases.
    input_batch_norm : bool, default=False
        BN of the input, before the first layer: puts features on one scale.
    front_scale : bool, default=False
        A `FrontScale` of the input, behind its BN.
    dropout : float, default=0.0
        Share of the activations that are set to zero in training.
    n_periodic : int, default=0
        Of so many columns more, behind the others, the first layer gets a `PeriodicEmbedding`.
    n_tables, n_entries : int, default=0
        Of so many columns more, behind all others, the first layer gets `LevelTables`; the columns hold entries, from 1
        to ``n_entries``, or 0.
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        hidden_layer_sizes: Sequence[int] = (64, 64),
        *,
        activation: str = "relu",
        batch_norm: bool = True,
        input_batch_norm: bool = False,
        front_scale: bool = False,
        dropout: float = 0.0,
        n_periodic: int = 0,
        n_tables: int = 0,
        n_entries: int = 0,
    ) -> None:
        super().__init__()
        widths = [n_features, *hidden_layer_sizes]
        self.embedding = PeriodicEmbedding(n_periodic, [*widths[1:], n_outputs][0]) if n_periodic else None
        self.tables = LevelTables(n_tables, n_entries, [*widths[1:], n_outputs][0]) if n_tables else None
        self.input_norm = nn.BatchNorm1d(n_features) if input_batch_norm else nn.Identity()
        self.front_scale = FrontScale(n_features) if front_scale else nn.Identity()
        self.linears = nn.ModuleList(
            nn.Linear(before, after, bias=not batch_norm) for before, after in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) if batch_norm else nn.Identity() for width in widths[1:])
        self.output = nn.Linear(widths[-1], n_outputs)
        self.activation_name = activation
        self.activation = ACTIVATIONS[activation]()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:  # (n, d)
        beside: Any = 0.0  # of the first layer's product
        if self.tables is not None:
            n_tables = self.tables.into.in_features // TABLE_WIDTH
            x, beside = x[:, :-n_tables], self.tables(x[:, -n_tables:])
        if self.embedding is not None:
            n_periodic = len(self.embedding.frequency)
            x, beside = x[:, :-n_periodic], beside + self.embedding(x[:, -n_periodic:])
        x = self.front_scale(self.input_norm(x))
        for linear, norm in zip(self.linears, self.norms, strict=True):
            x = self.dropout(self.activation(norm(linear(x) + beside)))  # (n, h)
            beside = 0.0
        return self.output(x) + beside  # (n, c)


@dataclass(frozen=True)
class ConvBlock:
    """One convolution of a BN-CNN, with BN and an activation behind it, and a pooling of 2 x 2 if asked for.

    Parameters
    ----------
    channels : int
        Feature maps that come out.
    kernel_size : int, default=3
        Height and width of the filters, pixels.
    stride : int, default=1
        Pixels from one filter position to the next.
    padding : int or None, default=None
        Pixels of zeros around the image; None is ``kernel_size // 2``, which keeps its size.
    pool : {"max", "avg"} or None, default=None
        Whether each 2 x 2 pixels become one, and how.

    Examples
    --------
    >>> from stackkit.nn import BNCNNClassifier, ConvBlock
    >>> cnn = BNCNNClassifier(preset=None, blocks=[ConvBlock(16, pool="avg"), ConvBlock(32, pool="avg")])
    """

    channels: int
    kernel_size: int = 3
    stride: int = 1
    padding: int | None = None
    pool: Literal["max", "avg"] | None = None


class BNCNN(nn.Module):
    """Convolutions and then dense layers, each followed by BN and an activation; then a linear output layer.

    Parameters
    ----------
    image_shape : tuple (channels, height, width)
        What goes in.
    n_outputs : int
        Numbers (logits) that come out.
    blocks : sequence of ConvBlock
        The convolutions.
    hidden_layer_sizes : sequence of int, default=()
        Units of each dense layer behind them.
    activation, batch_norm, dropout
        As in `BNMLP`; dropout acts in the dense part.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        n_outputs: int,
        blocks: Sequence[ConvBlock],
        hidden_layer_sizes: Sequence[int] = (),
        *,
        activation: str = "relu",
        batch_norm: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = image_shape[0]
        for block in blocks:
            layers += _convolution(channels, block, activation, batch_norm=batch_norm)
            channels = block.channels
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.dropout = nn.Dropout(dropout)
        self.head = BNMLP(
            _width_after(self.features, image_shape),
            n_outputs,
            hidden_layer_sizes,
            activation=activation,
            batch_norm=batch_norm,
            dropout=dropout,
        )

    def forward(self, x: Tensor) -> Tensor:  # (n, channels, height, width)
        return self.head(self.dropout(self.features(x)))  # (n, c)


def _convolution(channels: int, block: ConvBlock, activation: str, *, batch_norm: bool) -> list[nn.Module]:
    padding = block.kernel_size // 2 if block.padding is None else block.padding
    layers: list[nn.Module] = [
        nn.Conv2d(channels, block.channels, block.kernel_size, block.stride, padding, bias=not batch_norm)
    ]
    if batch_norm:
        layers.append(nn.BatchNorm2d(block.channels))
    layers.append(ACTIVATIONS[activation]())
    if block.pool is not None:  # an odd row or column at the edge is pooled too, so that 1 x 1 stays 1 x 1
        layers.append(nn.MaxPool2d(2, ceil_mode=True) if block.pool == "max" else nn.AvgPool2d(2, ceil_mode=True))
    return layers


def _width_after(features: nn.Sequential, image_shape: tuple[int, int, int]) -> int:
    try:
        with torch.no_grad():
            width = features.eval()(torch.zeros(1, *image_shape)).shape[1]
    except RuntimeError as error:
        raise ValueError(
            f"Images of the shape {tuple(image_shape)} (channels, height, width) are too small for the convolutions of "
            f"the preset or the blocks; take another preset, or blocks with more padding. ({error})"
        ) from error
    features.train()
    return int(width)


class Average(nn.Module):
    """Members that answer as one: the mean of their probabilities, or of their values.

    It takes inputs and gives outputs on the user's scale: the members get ``(x - input_mean) / input_scale``, or
    encoded columns, and values come back times ``output_scale`` plus ``output_mean``, within ``output_range``.

    Parameters
    ----------
    make : callable
        Makes one member, a module.
    seeds : sequence of int
        One a member: what its first weights are drawn from.
    classifier : bool
        Whether the members give logits.
    dtype : torch.dtype, default=torch.float32
        Of the members' weights.
    input_affine, output_affine : tuple (mean, scale) of sequences of float, or None
        One number per channel, or one per output; None leaves inputs or outputs as they are.
    encoding : Encoding or None, default=None
        What columns of a table become before the members see them.
    output_range : tuple (least, most) of sequences of float, or None
        One number per output; None: values may lie anywhere.
    test_shifts : bool, default=False
        Whether images are also seen one pixel up, down, left and right.
    """

    def __init__(
        self,
        make: Callable[[], nn.Module],
        seeds: Sequence[int],
        *,
        classifier: bool,
        dtype: torch.dtype = torch.float32,
        input_affine: tuple[Sequence[float], Sequence[float]] | None = None,
        output_affine: tuple[Sequence[float], Sequence[float]] | None = None,
        encoding: Encoding | None = None,
        output_range: tuple[Sequence[float], Sequence[float]] | None = None,
        test_shifts: bool = False,
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(_seeded(make, seed) for seed in seeds).to(dtype)
        self.classifier, self.test_shifts = classifier, test_shifts
        self.register_buffer("input_affine", _affine(input_affine, dtype))
        # In float64: far from zero, float32 does not tell values apart.
        self.register_buffer("output_affine", _affine(output_affine, torch.float64))
        self.register_buffer("output_range", _affine(output_range, torch.float64))
        self.encoder = None if encoding is None else Encoder(encoding)

    input_affine: Tensor | None
    output_affine: Tensor | None
    output_range: Tensor | None

    def scaled(self, x: Tensor) -> Tensor:
        """What the members get to see; whole numbers become floats, images channels last."""
        x = x.to(next(self.parameters()).dtype)
        if self.input_affine is not None:
            mean, scale = self.input_affine.view(2, -1, *[1] * (x.ndim - 2))
            x = (x - mean) / scale
        if self.encoder is not None:
            x = self.encoder(x)
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x

    def forward(self, x: Tensor) -> Tensor:  # (n, d) or (n, channels, height, width)
        x = self.scaled(x)
        views = shifted_views(x) if self.test_shifts else [x]
        outputs = torch.stack([member(view) for view in views for member in self.members])  # (answers, n, c)
        if self.classifier:
            return outputs.log_softmax(2).logsumexp(0) - math.log(len(outputs))
        mean = outputs.mean(0)
        if self.output_affine is not None:
            mean = mean.double() * self.output_affine[1] + self.output_affine[0]
        return mean if self.output_range is None else mean.clamp(*self.output_range)


def _affine(pair: tuple[Sequence[float], Sequence[float]] | None, dtype: torch.dtype) -> Tensor | None:
    return None if pair is None else torch.tensor([list(part) for part in pair], dtype=dtype)


def _seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
