"""BN-MLPs and BN-CNNs as scikit-learn estimators."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data
from torch import nn

from stackkit._checks import choice
from stackkit.nn._augment import AUGMENTATIONS, Augmentation
from stackkit.nn._batches import n_batches
from stackkit.nn._enrolment import Affine
from stackkit.nn._learner import NetClassifier, NetLearner, NetRegressor
from stackkit.nn._modules import BNCNN, BNMLP, ConvBlock
from stackkit.nn._numerics import has_bfloat16
from stackkit.nn._recipe import Recipe

SMALL_TABLE = 10_000  # rows up to which several members are worth their time
LEAST_STEPS = 100
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
}


def _packs(learner: Any) -> bool:
    # Networks of the user's own cannot be packed: their folds are tasks of their own, spread over workers.
    return learner.module is None


class TableNet(NetLearner):
    """What goes into an MLP, and how it is trained."""

    hidden_layer_sizes: Any
    input_batch_norm: bool

    def _inputs(self, X: Any, y: Any, *, reset: bool) -> tuple[np.ndarray, Any]:
        return _validated(self, X, y, reset=reset, dtype=_floats(self))

    def _maker(self, inputs: np.ndarray, n_outputs: int) -> Callable[[], nn.Module]:
        if self.module is not None:
            return partial(self.module, self.n_features_in_, n_outputs)
        return partial(
            BNMLP,
            self.n_features_in_,
            n_outputs,
            tuple(self.hidden_layer_sizes),
            activation=self.activation,
            batch_norm=self.batch_norm,
            input_batch_norm=self.input_batch_norm,
            dropout=self.dropout,
        )

    @torch.no_grad()
    def _start(self, networks: nn.ModuleList, inputs: np.ndarray, rows: np.ndarray) -> None:
        """Without weights from features that never change: what they do in other rows could not be learned."""
        constant = torch.from_numpy((inputs[rows] == inputs[rows[0]]).all(axis=0))[: self.n_features_in_]
        for network in (network for network in networks if isinstance(network, BNMLP)):
            first: Any = next(iter((*network.linears, network.output)))
            first.weight[:, constant] = 0.0

    def _members(self, n_rows: int) -> int:
        if self.n_members != "auto":
            return self.n_members
        return 5 if n_rows <= SMALL_TABLE and self.snapshots is None else 1

    def _recipe(self, n_rows: int) -> Recipe:
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = _batch_size(n_rows, steps=64, least=32, most=512)
        return Recipe(
            classifier=is_classifier(self),
            max_epochs=_epochs(n_rows, batch_size, 10) if self.max_epochs == "auto" else self.max_epochs,
            batch_size=batch_size,
            lr=self.lr,
            schedule="cosine" if self.snapshots else self.schedule,
            cycles=self.snapshots or 1,
            optimizer=self.optimizer,
            weight_decay=self.weight_decay,
            patience=self.n_iter_no_change if self.early_stopping else None,
            tol=self.tol,
            population=self.batch_stats == "population",
            device=self._where(),
        )


class ImageNet(NetLearner):
    """What goes into a CNN, and how it is trained."""

    preset: Any
    blocks: Any
    hidden_layer_sizes: Any
    image_shape: Any
    augment: Any
    test_shifts: bool
    precision: Any

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

    def _maker(self, inputs: np.ndarray, n_outputs: int) -> Callable[[], nn.Module]:
        if self.module is not None:
            return partial(self.module, inputs.shape[1:], n_outputs)
        preset = self._preset()
        own = isinstance(self.hidden_layer_sizes, str)
        return partial(
            BNCNN,
            inputs.shape[1:],
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

    def _members(self, n_rows: int) -> int:
        return 1 if self.n_members == "auto" else self.n_members

    def _recipe(self, n_rows: int) -> Recipe:
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
            patience=self.n_iter_no_change if self.early_stopping else None,
            tol=self.tol,
            population=self.batch_stats == "population",
            bfloat16=self._bfloat16(device),
            augment=self._augmentation(),
            device=device,
        )

    def _bfloat16(self, device: torch.device) -> bool:
        if self.precision == "auto":
            return self.dtype == "float32" and (device.type != "cpu" or has_bfloat16())
        return self.precision == "bfloat16"

    def _augmentation(self) -> Augmentation | None:
        if self.augment is None or isinstance(self.augment, Augmentation):
            return self.augment
        if self.augment not in AUGMENTATIONS:
            raise choice("augment", type(self).__name__, [*AUGMENTATIONS, None], self.augment)
        return AUGMENTATIONS[self.augment]

    def _input_affine(self, inputs: np.ndarray, rows: np.ndarray) -> Affine:
        """Mean and standard deviation of each channel's pixels."""
        count, total, square = 0, np.zeros(inputs.shape[1]), np.zeros(inputs.shape[1])
        for part in np.array_split(rows, len(rows) // PIXEL_ROWS + 1):
            pixels = inputs[part].astype(np.float64)
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


def _batch_size(n_rows: int, steps: int, least: int, most: int) -> int:
    """So that an epoch has about so many steps; a power of two, so that folds agree."""
    return int(2 ** np.clip(np.round(np.log2(max(n_rows, 1) / steps)), math.log2(least), math.log2(most)))


class BNMLPClassifier(TableNet, NetClassifier):
    """Batch-Normalised multi-layer perceptron for classes, a good member of a stack.

    Dense layers, each as activation(BN(W u)) [1]_. Small tables get several short trainings and the mean of
    their predictions. Inside `stackkit.cross_fit` and `stackkit.StackingModel` the networks of all folds are
    trained together as one packed network, several times faster than one after another and with the same
    results up to rounding.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of each hidden layer.

    activation : {"relu", "tanh", "sigmoid"}, default="relu"
        Comes after Batch Normalization: activation(BN(W u)).

    batch_norm : bool, default=True
        False leaves Batch Normalization out, for comparison; layers then have biases.

    input_batch_norm : bool, default=False
        Normalize the input too, batch by batch. Helps where the features are not scaled beforehand.

    dropout : float, default=0.0
        Share of the hidden activations set to zero in training; below 1.

    n_members : int or "auto", default="auto"
        Independent networks whose predictions are averaged; trained packed together, they cost little more than
        one. "auto" is 5 up to 10,000 training rows, where several short trainings beat a long one, and 1 above
        or with ``snapshots``.

    snapshots : int, default=None
        Restart the learning rate (``schedule="cosine"``) so many times, and average the networks at the ends of
        the cycles [4]_: several members for the price of one.

    max_epochs : int or "auto", default="auto"
        Times that the training rows are gone through; with ``early_stopping``, at most. "auto" is 10, and more
        where there are so few rows that this would make less than 100 steps.

    batch_size : int or "auto", default="auto"
        Rows a step, at least 2. The rows of an epoch are split evenly, so that a batch may have a few more or
        less, and never one. "auto" grows with the rows, in powers of two: 32 up to 2,900 rows, then about a
        64th, 512 at most.

    lr : float, default=0.002
        Learning rate, before its schedule.

    schedule : {"constant", "one-cycle", "cosine"}, default="cosine"
        Course of the learning rate: as it is; up and then down to zero; or down to zero along a cosine, again
        and again with ``snapshots``.

    optimizer : {"adam", "sgd"} or subclass of torch.optim.Optimizer, default="adam"
        Adam (with decoupled weight decay), or gradient descent with Nesterov's momentum of 0.9. Networks of
        your own class of optimizer are trained one by one.

    weight_decay : float, default=0.0
        Decay of the weight matrices, times the learning rate, at each step.

    early_stopping : bool, default=False
        Set rows of the training part aside and stop each network when its loss there no longer falls; the best
        state is kept. With ``groups`` given to ``fit``, groups stay together.

    validation_fraction : float or int, default=0.1
        Share, or number, of the rows (of the groups, if given) set aside.

    n_iter_no_change : int, default=10
        Epochs without a lower loss after which a network stops.

    tol : float, default=1e-4
        By how much a loss has to be lower to count.

    batch_stats : {"population", "running"}, default="population"
        Statistics that Batch Normalization predicts with: those of the whole training part, taken once more
        after training (the paper's Algorithm 2 [1]_), or running averages, which short trainings leave far
        behind.

    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, as in scikit-learn.

    warm_start : bool, default=False
        Whether another ``fit`` goes on from the networks that are there.

    module : callable, default=None
        A torch module class of your own, or anything that makes one: called as ``module(n_features,
        n_outputs)``, where the outputs are logits or values. The parameters that shape the built-in network are
        then without effect. Networks of one's own are not packed.

    device : str, default="auto"
        Where to train, such as "cpu" or "cuda:1"; "auto" is the first GPU that torch sees, else the processor.

    dtype : {"float32", "float64"}, default="float32"
        Precision of the arithmetic. Predictions are float64 in any case.

    n_threads : int or None, default=1
        Threads inside one torch operation; None is torch's own number. Seeded results are the same bit for bit
        for the same number of threads, in any process or thread.

    random_state : int, RandomState instance or None, default=None
        First weights, order of the rows, dropout, distortions, and rows set aside.

    callbacks : list of skorch callbacks, default=None
        Called at the ends of epochs, as skorch does. Callbacks that act on batches are refused.

    verbose : int, default=0
        1 prints a line an epoch, as skorch does.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels seen in ``fit``.

    net_ : skorch.NeuralNetClassifier
        The fitted net; its ``module_`` takes X as float32 tensors and averages its ``members``.

    history_ : skorch.history.History
        Losses and seconds of each epoch.

    loss_curve_ : list of float
        Mean training loss of each epoch.

    n_features_in_ : int
        Columns of X in ``fit``.

    Raises
    ------
    ValueError
        At ``fit``, if a parameter or the data is not as it has to be (NaN and infinity are refused), or if training
        diverges.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
           Covariate Shift", ICML 2015.
    .. [2] L. N. Smith, "A disciplined approach to neural network hyper-parameters: Part 1", arXiv:1803.09820, 2018.
    .. [3] I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017.
    .. [4] G. Huang et al., "Snapshot Ensembles: Train 1, get M for free", ICLR 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from stackkit.nn import BNMLPClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), BNMLPClassifier(random_state=0)).fit(X[::2], y[::2])
    >>> model.score(X[1::2], y[1::2]) > 0.9
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (64, 64),
        *,
        activation: Any = "relu",
        batch_norm: bool = True,
        input_batch_norm: bool = False,
        dropout: float = 0.0,
        n_members: Any = "auto",
        snapshots: Any = None,
        max_epochs: Any = "auto",
        batch_size: Any = "auto",
        lr: Any = 0.002,
        schedule: Any = "cosine",
        optimizer: Any = "adam",
        weight_decay: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: Any = 0.1,
        n_iter_no_change: Any = 10,
        tol: float = 1e-4,
        batch_stats: Any = "population",
        class_weight: Any = None,
        warm_start: bool = False,
        module: Any = None,
        device: Any = "auto",
        dtype: Any = "float32",
        n_threads: Any = 1,
        random_state: Any = None,
        callbacks: Any = None,
        verbose: Any = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.batch_norm = batch_norm
        self.input_batch_norm = input_batch_norm
        self.dropout = dropout
        self.n_members = n_members
        self.snapshots = snapshots
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.batch_stats = batch_stats
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.module = module
        self.device = device
        self.dtype = dtype
        self.n_threads = n_threads
        self.random_state = random_state
        self.callbacks = callbacks
        self.verbose = verbose

    @available_if(_packs)
    def fit_folds(
        self,
        X: Any,
        y: Any,
        folds: Sequence[np.ndarray],
        sample_weight: Any = None,
        groups: Any = None,
        n_features: Sequence[int] | None = None,
    ) -> list[Any]:
        """Train one estimator on each fold's rows, all at once: what the stack calls.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            All rows.
        y : array-like of shape (n_samples,)
            All targets.
        folds : sequence of ndarray of int
            The rows to learn from, a fold each; they may overlap and be of any lengths.
        sample_weight, groups : array-like of shape (n_samples,), default=None
            As in ``fit``.
        n_features : sequence of int, default=None
            Columns that each fold has, where preprocessing gave them different ones: the first so many of X, which
            holds zeros in the others. None: all have all.

        Returns
        -------
        fitted : list of BNMLPClassifier
            The k-th is what ``clone(self).set_params(random_state=s).fit(X[folds[k]], y[folds[k]])`` gives, up to
            rounding, with the seed ``s`` that it has as its ``random_state``.
        """
        return self._fit_folds(X, y, folds, sample_weight, groups, n_features)


class BNMLPRegressor(TableNet, NetRegressor):
    """Batch-Normalised multi-layer perceptron for one or several quantities.

    As `BNMLPClassifier`, on squared errors; the targets are standardised inside.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of each hidden layer.

    activation : {"relu", "tanh", "sigmoid"}, default="relu"
        Comes after Batch Normalization: activation(BN(W u)).

    batch_norm : bool, default=True
        False leaves Batch Normalization out, for comparison; layers then have biases.

    input_batch_norm : bool, default=False
        Normalize the input too, batch by batch. Helps where the features are not scaled beforehand.

    dropout : float, default=0.0
        Share of the hidden activations set to zero in training; below 1.

    n_members : int or "auto", default="auto"
        Independent networks whose predictions are averaged; trained packed together, they cost little more than
        one. "auto" is 5 up to 10,000 training rows, where several short trainings beat a long one, and 1 above
        or with ``snapshots``.

    snapshots : int, default=None
        Restart the learning rate (``schedule="cosine"``) so many times, and average the networks at the ends of
        the cycles [4]_: several members for the price of one.

    max_epochs : int or "auto", default="auto"
        Times that the training rows are gone through; with ``early_stopping``, at most. "auto" is 10, and more
        where there are so few rows that this would make less than 100 steps.

    batch_size : int or "auto", default="auto"
        Rows a step, at least 2. The rows of an epoch are split evenly, so that a batch may have a few more or
        less, and never one. "auto" grows with the rows, in powers of two: 32 up to 2,900 rows, then about a
        64th, 512 at most.

    lr : float, default=0.002
        Learning rate, before its schedule.

    schedule : {"constant", "one-cycle", "cosine"}, default="cosine"
        Course of the learning rate: as it is; up and then down to zero; or down to zero along a cosine, again
        and again with ``snapshots``.

    optimizer : {"adam", "sgd"} or subclass of torch.optim.Optimizer, default="adam"
        Adam (with decoupled weight decay), or gradient descent with Nesterov's momentum of 0.9. Networks of
        your own class of optimizer are trained one by one.

    weight_decay : float, default=0.0
        Decay of the weight matrices, times the learning rate, at each step.

    early_stopping : bool, default=False
        Set rows of the training part aside and stop each network when its loss there no longer falls; the best
        state is kept. With ``groups`` given to ``fit``, groups stay together.

    validation_fraction : float or int, default=0.1
        Share, or number, of the rows (of the groups, if given) set aside.

    n_iter_no_change : int, default=10
        Epochs without a lower loss after which a network stops.

    tol : float, default=1e-4
        By how much a loss has to be lower to count.

    batch_stats : {"population", "running"}, default="population"
        Statistics that Batch Normalization predicts with: those of the whole training part, taken once more
        after training (the paper's Algorithm 2 [1]_), or running averages, which short trainings leave far
        behind.

    warm_start : bool, default=False
        Whether another ``fit`` goes on from the networks that are there.

    module : callable, default=None
        A torch module class of your own, or anything that makes one: called as ``module(n_features,
        n_outputs)``, where the outputs are logits or values. The parameters that shape the built-in network are
        then without effect. Networks of one's own are not packed.

    device : str, default="auto"
        Where to train, such as "cpu" or "cuda:1"; "auto" is the first GPU that torch sees, else the processor.

    dtype : {"float32", "float64"}, default="float32"
        Precision of the arithmetic. Predictions are float64 in any case.

    n_threads : int or None, default=1
        Threads inside one torch operation; None is torch's own number. Seeded results are the same bit for bit
        for the same number of threads, in any process or thread.

    random_state : int, RandomState instance or None, default=None
        First weights, order of the rows, dropout, distortions, and rows set aside.

    callbacks : list of skorch callbacks, default=None
        Called at the ends of epochs, as skorch does. Callbacks that act on batches are refused.

    verbose : int, default=0
        1 prints a line an epoch, as skorch does.

    Attributes
    ----------
    net_ : skorch.NeuralNetRegressor
        The fitted net; its ``module_`` takes X as float32 tensors and averages its ``members``.

    history_ : skorch.history.History
        Losses and seconds of each epoch.

    loss_curve_ : list of float
        Mean training loss of each epoch.

    n_features_in_ : int
        Columns of X in ``fit``.

    Raises
    ------
    ValueError
        At ``fit``, if a parameter or the data is not as it has to be (NaN and infinity are refused), or if training
        diverges.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
           Covariate Shift", ICML 2015.
    .. [2] L. N. Smith, "A disciplined approach to neural network hyper-parameters: Part 1", arXiv:1803.09820, 2018.
    .. [3] I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017.
    .. [4] G. Huang et al., "Snapshot Ensembles: Train 1, get M for free", ICLR 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from stackkit.nn import BNMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = BNMLPRegressor(input_batch_norm=True, random_state=0).fit(X[::2], y[::2])
    >>> model.score(X[1::2], y[1::2]) > 0.35
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (64, 64),
        *,
        activation: Any = "relu",
        batch_norm: bool = True,
        input_batch_norm: bool = False,
        dropout: float = 0.0,
        n_members: Any = "auto",
        snapshots: Any = None,
        max_epochs: Any = "auto",
        batch_size: Any = "auto",
        lr: Any = 0.002,
        schedule: Any = "cosine",
        optimizer: Any = "adam",
        weight_decay: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: Any = 0.1,
        n_iter_no_change: Any = 10,
        tol: float = 1e-4,
        batch_stats: Any = "population",
        warm_start: bool = False,
        module: Any = None,
        device: Any = "auto",
        dtype: Any = "float32",
        n_threads: Any = 1,
        random_state: Any = None,
        callbacks: Any = None,
        verbose: Any = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.batch_norm = batch_norm
        self.input_batch_norm = input_batch_norm
        self.dropout = dropout
        self.n_members = n_members
        self.snapshots = snapshots
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.batch_stats = batch_stats
        self.warm_start = warm_start
        self.module = module
        self.device = device
        self.dtype = dtype
        self.n_threads = n_threads
        self.random_state = random_state
        self.callbacks = callbacks
        self.verbose = verbose

    @available_if(_packs)
    def fit_folds(
        self,
        X: Any,
        y: Any,
        folds: Sequence[np.ndarray],
        sample_weight: Any = None,
        groups: Any = None,
        n_features: Sequence[int] | None = None,
    ) -> list[Any]:
        """Train one estimator on each fold's rows, all at once: what the stack calls.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            All rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            All targets.
        folds : sequence of ndarray of int
            The rows to learn from, a fold each; they may overlap and be of any lengths.
        sample_weight, groups : array-like of shape (n_samples,), default=None
            As in ``fit``.
        n_features : sequence of int, default=None
            Columns that each fold has, where preprocessing gave them different ones: the first so many of X, which
            holds zeros in the others. None: all have all.

        Returns
        -------
        fitted : list of BNMLPRegressor
            The k-th is what ``clone(self).set_params(random_state=s).fit(X[folds[k]], y[folds[k]])`` gives, up to
            rounding, with the seed ``s`` that it has as its ``random_state``.
        """
        return self._fit_folds(X, y, folds, sample_weight, groups, n_features)


class BNCNNClassifier(ImageNet, NetClassifier):
    """Batch-Normalised convolutional network for images.

    Convolutions and dense layers, each as activation(BN(W u)) [1]_. Pixels are standardised inside, by the
    training images. Images come as (n_samples, height, width), as (n_samples, channels, height, width), or
    flat, so that other learners of a stack can take the same X.

    Parameters
    ----------
    preset : {"fast", "reference"} or None, default="fast"
        "reference" is the classic network for MNIST: two convolutions of 3 x 3 with 32 maps, pooling, 128 dense
        units; trained with Adam at a constant rate, in batches of 32. "fast" has three convolutions, of which
        the first has a stride of 2, and is trained with Muon in one cycle. None: your own ``blocks``.

    blocks : list of ConvBlock, default=None
        The convolutions, with ``preset=None``.

    hidden_layer_sizes : sequence of int, default="auto"
        Units of each dense layer behind the convolutions; "auto" is the preset's, and none for blocks of your
        own.

    image_shape : tuple, default=None
        (height, width) or (channels, height, width), for flat rows. None: rows whose length is a square number
        are square images of one channel, others one line of pixels.

    augment : {"shift", "affine", "elastic"}, Augmentation or None, default=None
        Distort the training images at random each time: shifts of up to 2 pixels; with turns of up to 10
        degrees and scalings of up to a tenth; with elastic displacements on top.

    test_shifts : bool, default=False
        Average predictions over each image and its four neighbours, one pixel up, down, left and right.

    precision : {"auto", "bfloat16", "float32"}, default="auto"
        Precision of products in training. "auto" is bfloat16 where the processor has it and ``dtype`` is
        "float32", if a trial batch comes out nearly the same. Predictions are made in ``dtype``.

    activation : {"relu", "tanh", "sigmoid"}, default="relu"
        Comes after Batch Normalization: activation(BN(W u)).

    batch_norm : bool, default=True
        False leaves Batch Normalization out, for comparison; layers then have biases.

    dropout : float, default=0.0
        Share of the activations of the dense part set to zero in training; below 1.

    n_members : int or "auto", default=1
        Independent networks whose predictions are averaged; "auto" is 1.

    snapshots : int, default=None
        Restart the learning rate (``schedule="cosine"``) so many times, and average the networks at the ends of
        the cycles [4]_: several members for the price of one.

    max_epochs : int or "auto", default="auto"
        Times that the training rows are gone through; with ``early_stopping``, at most. "auto" is 10 for
        "reference", else 5, and more where there are so few images that this would make less than 100 steps.

    batch_size : int or "auto", default="auto"
        Images a step, at least 2. The images of an epoch are split evenly, so that a batch may have a few more
        or less, and never one. "auto" is 32 for "reference", else grows with the images, in powers of two, from
        16 to 128.

    lr : float or "auto", default="auto"
        Learning rate, before its schedule; "auto" is 0.001 for "reference", else 0.01.

    schedule : {"constant", "one-cycle", "cosine"} or "auto", default="auto"
        Course of the learning rate: as it is; up and then down to zero; or down to zero along a cosine, again
        and again with ``snapshots``. "auto" is "constant" for "reference", else "one-cycle".

    optimizer : {"adam", "sgd", "muon"} or subclass of torch.optim.Optimizer, or "auto", default="auto"
        Adam (with decoupled weight decay), gradient descent with Nesterov's momentum of 0.9, or Muon [5]_ for
        the inner layers' weights with Adam for the rest. "auto" is "adam" for "reference", else "muon".

    weight_decay : float, default=0.0
        Decay of the weight matrices, times the learning rate, at each step.

    early_stopping : bool, default=False
        Set rows of the training part aside and stop each network when its loss there no longer falls; the best
        state is kept. With ``groups`` given to ``fit``, groups stay together.

    validation_fraction : float or int, default=0.1
        Share, or number, of the rows (of the groups, if given) set aside.

    n_iter_no_change : int, default=10
        Epochs without a lower loss after which a network stops.

    tol : float, default=1e-4
        By how much a loss has to be lower to count.

    batch_stats : {"population", "running"}, default="population"
        Statistics that Batch Normalization predicts with: those of the whole training part, taken once more
        after training (the paper's Algorithm 2 [1]_), or running averages, which short trainings leave far
        behind.

    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, as in scikit-learn.

    warm_start : bool, default=False
        Whether another ``fit`` goes on from the networks that are there.

    module : callable, default=None
        A torch module class of your own, or anything that makes one: called as ``module(image_shape,
        n_outputs)``, with (channels, height, width) of standardised images, and logits or values as outputs.
        The parameters that shape the built-in network are then without effect.

    device : str, default="auto"
        Where to train, such as "cpu" or "cuda:1"; "auto" is the first GPU that torch sees, else the processor.

    dtype : {"float32", "float64"}, default="float32"
        Precision of the arithmetic. Predictions are float64 in any case.

    n_threads : int or None, default=1
        Threads inside one torch operation; None is torch's own number. A CNN trained alone on a machine of
        several cores wants more than one. Seeded results are the same bit for bit for the same number of
        threads, in any process or thread.

    random_state : int, RandomState instance or None, default=None
        First weights, order of the rows, dropout, distortions, and rows set aside.

    callbacks : list of skorch callbacks, default=None
        Called at the ends of epochs, as skorch does. Callbacks that act on batches are refused.

    verbose : int, default=0
        1 prints a line an epoch, as skorch does.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels seen in ``fit``.

    net_ : skorch.NeuralNetClassifier
        The fitted net; its ``module_`` takes X as float32 tensors (n, channels, height, width) and averages its
        ``members``.

    history_ : skorch.history.History
        Losses and seconds of each epoch.

    loss_curve_ : list of float
        Mean training loss of each epoch.

    n_features_in_ : int
        Columns of X in ``fit`` (of its second axis).

    image_shape_ : tuple (channels, height, width)
        Of the images seen in ``fit``.

    Raises
    ------
    ValueError
        At ``fit``, if a parameter or the data is not as it has to be (NaN and infinity are refused), or if training
        diverges.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
           Covariate Shift", ICML 2015.
    .. [2] L. N. Smith, "A disciplined approach to neural network hyper-parameters: Part 1", arXiv:1803.09820, 2018.
    .. [3] I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017.
    .. [4] G. Huang et al., "Snapshot Ensembles: Train 1, get M for free", ICLR 2017.
    .. [5] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
           https://kellerjordan.github.io/posts/muon/

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from stackkit.nn import BNCNNClassifier
    >>> X, y = load_digits(return_X_y=True)  # flat images of 8 x 8 pixels
    >>> model = BNCNNClassifier(random_state=0).fit(X[::2], y[::2])
    >>> model.score(X[1::2], y[1::2]) > 0.95
    True
    """

    def __init__(
        self,
        preset: Any = "fast",
        *,
        blocks: Any = None,
        hidden_layer_sizes: Any = "auto",
        image_shape: Any = None,
        augment: Any = None,
        test_shifts: bool = False,
        precision: Any = "auto",
        activation: Any = "relu",
        batch_norm: bool = True,
        dropout: float = 0.0,
        n_members: Any = 1,
        snapshots: Any = None,
        max_epochs: Any = "auto",
        batch_size: Any = "auto",
        lr: Any = "auto",
        schedule: Any = "auto",
        optimizer: Any = "auto",
        weight_decay: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: Any = 0.1,
        n_iter_no_change: Any = 10,
        tol: float = 1e-4,
        batch_stats: Any = "population",
        class_weight: Any = None,
        warm_start: bool = False,
        module: Any = None,
        device: Any = "auto",
        dtype: Any = "float32",
        n_threads: Any = 1,
        random_state: Any = None,
        callbacks: Any = None,
        verbose: Any = 0,
    ) -> None:
        self.preset = preset
        self.blocks = blocks
        self.hidden_layer_sizes = hidden_layer_sizes
        self.image_shape = image_shape
        self.augment = augment
        self.test_shifts = test_shifts
        self.precision = precision
        self.activation = activation
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.n_members = n_members
        self.snapshots = snapshots
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.batch_stats = batch_stats
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.module = module
        self.device = device
        self.dtype = dtype
        self.n_threads = n_threads
        self.random_state = random_state
        self.callbacks = callbacks
        self.verbose = verbose


class BNCNNRegressor(ImageNet, NetRegressor):
    """Batch-Normalised convolutional network for quantities that images show.

    As `BNCNNClassifier`, on squared errors; the targets are standardised inside.

    Parameters
    ----------
    preset : {"fast", "reference"} or None, default="fast"
        "reference" is the classic network for MNIST: two convolutions of 3 x 3 with 32 maps, pooling, 128 dense
        units; trained with Adam at a constant rate, in batches of 32. "fast" has three convolutions, of which
        the first has a stride of 2, and is trained with Muon in one cycle. None: your own ``blocks``.

    blocks : list of ConvBlock, default=None
        The convolutions, with ``preset=None``.

    hidden_layer_sizes : sequence of int, default="auto"
        Units of each dense layer behind the convolutions; "auto" is the preset's, and none for blocks of your
        own.

    image_shape : tuple, default=None
        (height, width) or (channels, height, width), for flat rows. None: rows whose length is a square number
        are square images of one channel, others one line of pixels.

    augment : {"shift", "affine", "elastic"}, Augmentation or None, default=None
        Distort the training images at random each time: shifts of up to 2 pixels; with turns of up to 10
        degrees and scalings of up to a tenth; with elastic displacements on top.

    test_shifts : bool, default=False
        Average predictions over each image and its four neighbours, one pixel up, down, left and right.

    precision : {"auto", "bfloat16", "float32"}, default="auto"
        Precision of products in training. "auto" is bfloat16 where the processor has it and ``dtype`` is
        "float32", if a trial batch comes out nearly the same. Predictions are made in ``dtype``.

    activation : {"relu", "tanh", "sigmoid"}, default="relu"
        Comes after Batch Normalization: activation(BN(W u)).

    batch_norm : bool, default=True
        False leaves Batch Normalization out, for comparison; layers then have biases.

    dropout : float, default=0.0
        Share of the activations of the dense part set to zero in training; below 1.

    n_members : int or "auto", default=1
        Independent networks whose predictions are averaged; "auto" is 1.

    snapshots : int, default=None
        Restart the learning rate (``schedule="cosine"``) so many times, and average the networks at the ends of
        the cycles [4]_: several members for the price of one.

    max_epochs : int or "auto", default="auto"
        Times that the training rows are gone through; with ``early_stopping``, at most. "auto" is 10 for
        "reference", else 5, and more where there are so few images that this would make less than 100 steps.

    batch_size : int or "auto", default="auto"
        Images a step, at least 2. The images of an epoch are split evenly, so that a batch may have a few more
        or less, and never one. "auto" is 32 for "reference", else grows with the images, in powers of two, from
        16 to 128.

    lr : float or "auto", default="auto"
        Learning rate, before its schedule; "auto" is 0.001 for "reference", else 0.01.

    schedule : {"constant", "one-cycle", "cosine"} or "auto", default="auto"
        Course of the learning rate: as it is; up and then down to zero; or down to zero along a cosine, again
        and again with ``snapshots``. "auto" is "constant" for "reference", else "one-cycle".

    optimizer : {"adam", "sgd", "muon"} or subclass of torch.optim.Optimizer, or "auto", default="auto"
        Adam (with decoupled weight decay), gradient descent with Nesterov's momentum of 0.9, or Muon [5]_ for
        the inner layers' weights with Adam for the rest. "auto" is "adam" for "reference", else "muon".

    weight_decay : float, default=0.0
        Decay of the weight matrices, times the learning rate, at each step.

    early_stopping : bool, default=False
        Set rows of the training part aside and stop each network when its loss there no longer falls; the best
        state is kept. With ``groups`` given to ``fit``, groups stay together.

    validation_fraction : float or int, default=0.1
        Share, or number, of the rows (of the groups, if given) set aside.

    n_iter_no_change : int, default=10
        Epochs without a lower loss after which a network stops.

    tol : float, default=1e-4
        By how much a loss has to be lower to count.

    batch_stats : {"population", "running"}, default="population"
        Statistics that Batch Normalization predicts with: those of the whole training part, taken once more
        after training (the paper's Algorithm 2 [1]_), or running averages, which short trainings leave far
        behind.

    warm_start : bool, default=False
        Whether another ``fit`` goes on from the networks that are there.

    module : callable, default=None
        A torch module class of your own, or anything that makes one: called as ``module(image_shape,
        n_outputs)``, with (channels, height, width) of standardised images, and logits or values as outputs.
        The parameters that shape the built-in network are then without effect.

    device : str, default="auto"
        Where to train, such as "cpu" or "cuda:1"; "auto" is the first GPU that torch sees, else the processor.

    dtype : {"float32", "float64"}, default="float32"
        Precision of the arithmetic. Predictions are float64 in any case.

    n_threads : int or None, default=1
        Threads inside one torch operation; None is torch's own number. A CNN trained alone on a machine of
        several cores wants more than one. Seeded results are the same bit for bit for the same number of
        threads, in any process or thread.

    random_state : int, RandomState instance or None, default=None
        First weights, order of the rows, dropout, distortions, and rows set aside.

    callbacks : list of skorch callbacks, default=None
        Called at the ends of epochs, as skorch does. Callbacks that act on batches are refused.

    verbose : int, default=0
        1 prints a line an epoch, as skorch does.

    Attributes
    ----------
    net_ : skorch.NeuralNetRegressor
        The fitted net; its ``module_`` takes X as float32 tensors (n, channels, height, width) and averages its
        ``members``.

    history_ : skorch.history.History
        Losses and seconds of each epoch.

    loss_curve_ : list of float
        Mean training loss of each epoch.

    n_features_in_ : int
        Columns of X in ``fit`` (of its second axis).

    image_shape_ : tuple (channels, height, width)
        Of the images seen in ``fit``.

    Raises
    ------
    ValueError
        At ``fit``, if a parameter or the data is not as it has to be (NaN and infinity are refused), or if training
        diverges.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
           Covariate Shift", ICML 2015.
    .. [2] L. N. Smith, "A disciplined approach to neural network hyper-parameters: Part 1", arXiv:1803.09820, 2018.
    .. [3] I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017.
    .. [4] G. Huang et al., "Snapshot Ensembles: Train 1, get M for free", ICLR 2017.
    .. [5] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
           https://kellerjordan.github.io/posts/muon/

    Examples
    --------
    >>> import numpy as np
    >>> from stackkit.nn import BNCNNRegressor
    >>> images = np.random.default_rng(0).random((300, 6, 6))
    >>> brightness = images[:, 2:4, 2:4].mean(axis=(1, 2))
    >>> model = BNCNNRegressor(random_state=0).fit(images[:200], brightness[:200])
    >>> model.score(images[200:], brightness[200:]) > 0.5
    True
    """

    def __init__(
        self,
        preset: Any = "fast",
        *,
        blocks: Any = None,
        hidden_layer_sizes: Any = "auto",
        image_shape: Any = None,
        augment: Any = None,
        test_shifts: bool = False,
        precision: Any = "auto",
        activation: Any = "relu",
        batch_norm: bool = True,
        dropout: float = 0.0,
        n_members: Any = 1,
        snapshots: Any = None,
        max_epochs: Any = "auto",
        batch_size: Any = "auto",
        lr: Any = "auto",
        schedule: Any = "auto",
        optimizer: Any = "auto",
        weight_decay: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: Any = 0.1,
        n_iter_no_change: Any = 10,
        tol: float = 1e-4,
        batch_stats: Any = "population",
        warm_start: bool = False,
        module: Any = None,
        device: Any = "auto",
        dtype: Any = "float32",
        n_threads: Any = 1,
        random_state: Any = None,
        callbacks: Any = None,
        verbose: Any = 0,
    ) -> None:
        self.preset = preset
        self.blocks = blocks
        self.hidden_layer_sizes = hidden_layer_sizes
        self.image_shape = image_shape
        self.augment = augment
        self.test_shifts = test_shifts
        self.precision = precision
        self.activation = activation
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.n_members = n_members
        self.snapshots = snapshots
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.batch_stats = batch_stats
        self.warm_start = warm_start
        self.module = module
        self.device = device
        self.dtype = dtype
        self.n_threads = n_threads
        self.random_state = random_state
        self.callbacks = callbacks
        self.verbose = verbose
