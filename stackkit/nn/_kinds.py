"""The two kinds of networks: what goes into a BN-MLP and into a BN-CNN, and how each is trained."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from sklearn.utils import Tags
from sklearn.utils.validation import validate_data
from torch import Tensor, nn

from stackkit._utils import choice
from stackkit.nn._augment import AUGMENTATIONS, Augmentation
from stackkit.nn._batches import n_batches
from stackkit.nn._categories import Categories, learn_categories
from stackkit.nn._config import Recipe
from stackkit.nn._encoding import Encoding, bins_for, learn_encoding
from stackkit.nn._learner import NetLearner
from stackkit.nn._modules import BNCNN, BNMLP, ConvBlock
from stackkit.nn._packed_inference import JointNets, joint_nets
from stackkit.nn._setup import Affine
from stackkit.nn._torch_settings import has_bfloat16

SMALL_TABLE = 10_000  # rows up to which several members are worth their time
LEAST_STEPS, LEAST_STEPS_TO_STOP_IN = 100, 1000
LEAST_ROWS_TO_STOP, LEAST_GROUPS_TO_STOP = 30, 5  # to set some aside
PIXEL_ROWS = 1000  # images whose pixels are summed at once

PRESETS: dict[str, dict[str, Any]] = {
    # The MNIST network of the classic Batch Normalization reports: two convolutions without padding, one dense layer.
    "reference": {
        "blocks": (ConvBlock(32, padding=0), ConvBlock(32, padding=0, pool="max")),
        "hidden_layer_sizes": (128,),
        "training": {"max_epochs": 10, "batch_size": 32, "lr": 1e-3, "schedule": "constant", "optimizer": "adam"},
    },
    # A stem of stride 2 and averaged pools: a quarter of the arithmetic, and no index of maxima to keep.
    "fast": {
        "blocks": (ConvBlock(32, kernel_size=5, stride=2), ConvBlock(64, pool="avg"), ConvBlock(64, pool="avg")),
        "hidden_layer_sizes": (),
        "training": {"max_epochs": 5, "batch_size": "auto", "lr": 0.01, "schedule": "one-cycle", "optimizer": "muon"},
    },
    # The same wider and deeper: seven times the arithmetic.
    "large": {
        "blocks": (
            ConvBlock(48, kernel_size=5, stride=2),
            ConvBlock(96),
            ConvBlock(96, pool="avg"),
            ConvBlock(128),
            ConvBlock(128, pool="avg"),
        ),
        "hidden_layer_sizes": (128,),
        "training": {"max_epochs": 10, "batch_size": "auto", "lr": 0.02, "schedule": "one-cycle", "optimizer": "muon"},
    },
}


class TableNet(NetLearner):
    """What goes into an MLP, and how it is trained."""

    hidden_layer_sizes: Any
    scaling: Any
    num_embedding: Any
    n_bins: Any
    missing: Any
    categorical_features: Any
    input_batch_norm: bool
    front_scale: bool
    precision: Any
    beta_2: Any
    regularization_schedule: Any
    categories_in_: Categories | None = None  # of networks that were saved before there were any

    @staticmethod
    def pack_folds(learners: Sequence[Any]) -> JointNets | None:
        """Make fitted estimators predict in one pass: what ``StackingModel.compact`` calls.

        Parameters
        ----------
        learners : sequence of BNMLPClassifier or of BNMLPRegressor
            Fitted, such as the fold models of a stack.

        Returns
        -------
        joint : object or None
            It has the estimators' ``predict_proba`` and ``predict``, which take a list of rows, an item an estimator,
            and return a list of what each gives: up to rounding. None where the networks differ in shape, or are the
            user's own.
        """
        return joint_nets(learners)

    def _inputs(self, X: Any, y: Any, *, reset: bool) -> tuple[np.ndarray, Any]:
        if reset:
            self.categories_in_ = learn_categories(type(self).__name__, self.categorical_features, X)
        if self.categories_in_ is not None:
            X = self.categories_in_.coded(X)
        gaps = "allow-nan" if self.missing == "indicator" and self.module is None else True
        return _validated(self, X, y, reset=reset, dtype=_floats(self), ensure_all_finite=gaps)

    def _input_shape(self, inputs: np.ndarray) -> tuple[int, ...]:
        return (self.n_features_in_,)  # a fold may have fewer than the table

    def _maker(self, input_shape: tuple[int, ...], n_outputs: int) -> Callable[[], nn.Module]:
        n_inputs, *n_beside = input_shape
        if self.module is not None:
            return partial(self.module, n_inputs, n_outputs)
        beside = zip(("n_periodic", "n_tables", "n_entries"), n_beside, strict=False)  # nothing, where all is bare
        return partial(
            BNMLP,
            n_inputs,
            n_outputs,
            tuple(self.hidden_layer_sizes),
            activation=self.activation,
            batch_norm=self.batch_norm,
            input_batch_norm=self.input_batch_norm,
            front_scale=self.front_scale,
            dropout=self.dropout,
            **{name: n for name, n in beside if n},
        )

    def _encoding(self, inputs: np.ndarray, rows: np.ndarray) -> Encoding | None:
        imputes = self.missing == "indicator"
        if self.module is not None and self.categories_in_ is not None:
            raise ValueError(
                f"{type(self).__name__} takes categorical_features into its own network alone; got "
                f"module={self.module!r}. Leave module=None, or encode the columns before."
            )
        if self.module is not None or not (self.scaling or self.num_embedding or imputes or self.categories_in_):
            return None
        if imputes and self.scaling is None:
            raise ValueError(
                f"{type(self).__name__} with missing='indicator' puts the middle of a column in the place of missing "
                f"values; with scaling=None there is none. Set scaling='robust-clip' or 'standard'."
            )
        # As the network will see them: float64 and float32 rows of the same numbers train the same bits.
        own = inputs[rows, : self.n_features_in_].astype(self.dtype)
        n_codes, columns = 0, []
        if self.categories_in_ is not None:
            n_codes = self.categories_in_.n_codes
            self.categories_in_ = self.categories_in_.of_rows(own)
            columns = self.categories_in_.columns
        n_bins = bins_for(np.delete(own, columns, axis=1)) if self.n_bins == "auto" else self.n_bins
        return learn_encoding(
            own,
            self.scaling,
            n_bins if self.num_embedding == "ple" else 0,
            periodic=self.num_embedding == "pbld",
            imputes=imputes,
            categories=columns,
            n_codes=n_codes,
        )

    @torch.no_grad()
    def _unseen(self, network: nn.Module, inputs: Tensor, rows: np.ndarray, *, on: bool) -> Tensor | None:
        """Inputs that have never changed: what they do in other rows could not be learned.

        Starting without weights is not enough. BN takes a constant away again, and leaves rounding errors as the
        gradient, of which Adam makes whole steps: only where the input is zero, it is zero too.
        """
        if not isinstance(network, BNMLP):
            return None
        own = inputs[torch.tensor(rows, device=inputs.device), : self.n_features_in_]
        # An encoded column rises with its column: it changes if it does from the lowest value to the highest, or if
        # only some of its values are missing.
        low, high = own.amin(0), own.amax(0)  # NaN where a value is missing
        gaps = low.isnan()
        if gaps.any():
            missing = own[:, gaps].isnan()
            low[gaps] = own[:, gaps].masked_fill(missing, torch.inf).amin(0).masked_fill(missing.all(0), torch.nan)
            high[gaps] = own[:, gaps].masked_fill(missing, -torch.inf).amax(0).masked_fill(missing.all(0), torch.nan)
        ends = self.net_.module_.scaled(torch.stack([low, high, low.masked_fill(gaps, torch.nan)]))
        first: Any = next(iter((*network.linears, network.output)))
        constant = (ends == ends[0]).all(0)[: first.weight.shape[1]]  # those that waves are made of change often enough
        if self.categories_in_ is not None:
            self._forget_absent_levels(network, own, constant, on=on)
        if on:
            constant &= (first.weight == 0).all(0)
        else:
            first.weight[:, constant] = 0.0
        return constant if constant.any() else None

    def _forget_absent_levels(self, network: BNMLP, rows: Tensor, constant: Tensor, *, on: bool) -> None:
        """Note which indicators do not change in a network's rows, and empty the rows of its table that none has."""
        encoding = self.net_.module_.encoder.encoding()
        hits = encoding.hot.rows_of_entries(rows)[1:]
        constant[len(encoding.column) :] = (hits == 0) | (hits == len(rows))
        if network.tables is not None and not on:
            network.tables.weight[encoding.tables.rows_of_entries(rows) == 0] = 0.0

    def _members(self, n_rows: int, *, stops: bool) -> int:
        if self.n_members != "auto":
            return self.n_members
        if n_rows <= SMALL_TABLE and self.snapshots is None:
            return 5
        return 3 if stops else 1  # one alone would not learn from the rows that it stops by

    def _stops(self, n_rows: int, groups: Any) -> bool:
        if not isinstance(self.early_stopping, str):
            return bool(self.early_stopping)
        enough = n_rows >= LEAST_ROWS_TO_STOP and (groups is None or len(np.unique(groups)) >= LEAST_GROUPS_TO_STOP)
        return enough and self.module is None and self.snapshots is None and not self.warm_start

    def _recipe(self, n_rows: int, *, stops: bool) -> Recipe:
        batch_size, epochs, patience = self.batch_size, self.max_epochs, self.n_iter_no_change
        device = self._where()
        if batch_size == "auto":
            batch_size = _batch_size(n_rows, steps=64, least=32, most=512)
        if epochs == "auto":
            epochs = _epochs_to_stop_in(n_rows, batch_size) if stops else _epochs(n_rows, batch_size, 10)
        if patience == "auto":
            patience = max(10, epochs // 6)
        return Recipe(
            classifier=is_classifier(self),
            max_epochs=epochs,
            batch_size=batch_size,
            lr=self.lr,
            schedule="cosine" if self.snapshots else self.schedule,
            regularization_schedule=self.regularization_schedule,
            cycles=self.snapshots or 1,
            optimizer=self.optimizer,
            beta_2=self.beta_2,
            weight_decay=self.weight_decay,
            clip_norm=self.clip_norm,
            patience=patience if stops else None,
            tol=self.tol,
            population=self.batch_stats == "population",
            bfloat16=self.module is None and isinstance(self.optimizer, str) and _bfloat16(self, device),
            device=device,
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "indicator" and self.module is None
        tags.input_tags.categorical = self.categorical_features is not None
        return tags


class ImageNet(NetLearner):
    """What goes into a CNN, and how it is trained."""

    preset: Any
    blocks: Any
    hidden_layer_sizes: Any
    image_shape: Any
    augment: Any
    cutout: Any
    test_shifts: bool
    precision: Any
    ema_decay: Any

    _predicted_at_once = 128  # images

    def _inputs(self, X: Any, y: Any, *, reset: bool) -> tuple[np.ndarray, Any]:
        # Bytes stay bytes until their batch is due: a quarter of the memory.
        dtype = np.uint8 if getattr(X, "dtype", None) == np.uint8 else _floats(self)
        X, y = _validated(self, X, y, reset=reset, dtype=dtype, allow_nd=True)
        images = _as_images(X, self.image_shape)
        if reset:
            self.image_shape_ = images.shape[1:]
        elif images.shape[1:] != self.image_shape_:
            raise ValueError(
                f"X must hold images of the shape {self.image_shape_} (channels, height, width), as in fit; "
                f"got {images.shape[1:]}."
            )
        return images, y

    def _input_shape(self, inputs: np.ndarray) -> tuple[int, ...]:
        return inputs.shape[1:]

    def _maker(self, input_shape: tuple[int, ...], n_outputs: int) -> Callable[[], nn.Module]:
        if self.module is not None:
            return partial(self.module, input_shape, n_outputs)
        channels, height, width = input_shape
        preset = self._preset()
        own = isinstance(self.hidden_layer_sizes, str)
        return partial(
            BNCNN,
            (channels, height, width),
            n_outputs,
            tuple(preset["blocks"]),
            tuple(preset["hidden_layer_sizes"] if own else self.hidden_layer_sizes),
            activation=self.activation,
            batch_norm=self.batch_norm,
            dropout=self.dropout,
        )

    def _preset(self) -> dict[str, Any]:
        if self.preset is None:
            if not self.blocks and self.module is None:
                raise ValueError(
                    f"{type(self).__name__} with preset=None needs 'blocks', a list of ConvBlock; "
                    f"got blocks={self.blocks!r}."
                )
            if not all(isinstance(block, ConvBlock) for block in self.blocks or ()):
                raise ValueError(f"The 'blocks' parameter must be a list of ConvBlock; got {self.blocks!r}.")
            return PRESETS["fast"] | {"blocks": self.blocks}
        if self.preset not in PRESETS:
            raise choice("preset", type(self).__name__, [*PRESETS, None], self.preset)
        if self.blocks is not None:
            raise ValueError(
                f"{type(self).__name__} takes a preset or blocks, not both; set preset=None to use your blocks."
            )
        return PRESETS[self.preset]

    def _members(self, n_rows: int, *, stops: bool) -> int:
        return 1 if self.n_members == "auto" else self.n_members

    def _recipe(self, n_rows: int, *, stops: bool) -> Recipe:
        chosen = {
            name: default if (value := getattr(self, name)) == "auto" else value
            for name, default in self._preset()["training"].items()
        }
        if chosen["batch_size"] == "auto":
            chosen["batch_size"] = _batch_size(n_rows, steps=50, least=16, most=128)
        if self.max_epochs == "auto":
            chosen["max_epochs"] = _epochs(n_rows, chosen["batch_size"], chosen["max_epochs"])
        if self.snapshots:
            chosen["schedule"] = "cosine"
        device = self._where()
        return Recipe(
            classifier=is_classifier(self),
            **chosen,
            cycles=self.snapshots or 1,
            weight_decay=self.weight_decay,
            clip_norm=self.clip_norm,
            patience=self.n_iter_no_change if stops else None,
            tol=self.tol,
            population=self.batch_stats == "population",
            ema_decay=self.ema_decay,
            bfloat16=_bfloat16(self, device),
            augment=self._augmentation(),
            device=device,
        )

    def _augmentation(self) -> Augmentation | None:
        chosen = self.augment
        if chosen is not None and not isinstance(chosen, Augmentation):
            if chosen not in AUGMENTATIONS:
                raise choice("augment", type(self).__name__, [*AUGMENTATIONS, None], chosen)
            chosen = AUGMENTATIONS[chosen]
        return chosen if self.cutout is None else replace(chosen or Augmentation(), cutout=int(self.cutout))

    def _input_affine(self, inputs: np.ndarray, rows: np.ndarray) -> Affine:
        """Mean and standard deviation of each channel's pixels."""
        count, total, square = 0, np.zeros(inputs.shape[1]), np.zeros(inputs.shape[1])
        for part in np.array_split(rows, len(rows) // PIXEL_ROWS + 1):
            # As the network will see them: float64 and float32 rows of the same numbers train the same bits.
            pixels = inputs[part].astype(self.dtype).astype(np.float64)
            count += pixels[:, 0].size
            total = total + pixels.sum(axis=(0, 2, 3))
            square = square + np.square(pixels).sum(axis=(0, 2, 3))
        mean = total / count
        deviation = np.sqrt(np.maximum(square / count - mean**2, 0.0))
        return mean, np.where(deviation > 0, deviation, 1.0)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _bfloat16(learner: TableNet | ImageNet, device: torch.device) -> bool:
    if learner.precision == "auto":
        return learner.dtype == "float32" and (device.type != "cpu" or has_bfloat16())
    return learner.precision == "bfloat16"


def _floats(learner: NetLearner) -> list[str]:
    """What X may stay; all else becomes the first of them."""
    return ["float32", "float64"] if learner.dtype == "float32" else ["float64"]


def _validated(learner: Any, X: Any, y: Any, **settings: Any) -> tuple[np.ndarray, Any]:
    if isinstance(y, str) and y == "no_validation":
        return validate_data(learner, X, **settings), None
    several = not is_classifier(learner)
    return validate_data(learner, X, y, multi_output=several, y_numeric=several, **settings)


def _as_images(X: np.ndarray, image_shape: tuple[int, ...] | None) -> np.ndarray:
    """Images (n, channels, height, width) from any of the layouts."""
    if X.ndim == 2:
        shape = _flat_shape(X.shape[1], image_shape)
        return X.reshape(len(X), *shape)
    if X.ndim == 3:
        return X[:, np.newaxis]
    if X.ndim == 4:
        return X
    raise ValueError(
        f"X must hold images as (n_samples, height, width), (n_samples, channels, height, width) or flat; got an array "
        f"of {X.ndim} dimensions."
    )


def _flat_shape(n_features: int, image_shape: tuple[int, ...] | None) -> tuple[int, int, int]:
    if image_shape is None:
        side = math.isqrt(n_features)
        return (1, side, side) if side * side == n_features else (1, 1, n_features)
    given = tuple(image_shape) if isinstance(image_shape, tuple | list) else ()
    shape = (1, *given) if len(given) == 2 else given
    if len(shape) != 3 or math.prod(shape) != n_features:
        raise ValueError(
            f"The 'image_shape' parameter must be (height, width) or (channels, height, width) with a product of "
            f"{n_features}, the columns of X; got {image_shape!r}."
        )
    return shape


def _epochs(n_rows: int, batch_size: int, least: int) -> int:
    """On very few rows more epochs, or there would hardly be any steps."""
    return max(least, math.ceil(LEAST_STEPS / n_batches(n_rows, batch_size)))


def _epochs_to_stop_in(n_rows: int, batch_size: int) -> int:
    """At most so many: more on very few rows, and less on many, of which each epoch tells more."""
    usual = min(60, max(20, 60 * SMALL_TABLE // n_rows))
    return max(usual, math.ceil(LEAST_STEPS_TO_STOP_IN / n_batches(n_rows, batch_size)))


def _batch_size(n_rows: int, steps: int, least: int, most: int) -> int:
    """So that an epoch has about so many steps; a power of two, so that folds agree."""
    return int(2 ** np.clip(np.round(np.log2(max(n_rows, 1) / steps)), math.log2(least), math.log2(most)))
