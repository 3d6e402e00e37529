"""Raw skorch nets as learners: rows, targets, batches and seeds as such a net needs them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch import NeuralNet
from skorch.callbacks import Checkpoint, LoadInitState
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from stackkit._utils import SUM_TOLERANCE
from stackkit.nn._torch_settings import held

# What X may stay; all else becomes the first of them. Integers are what embeddings take.
ROW_TYPES = [np.float32, np.int64, np.int32, np.int16, np.int8, np.uint8, np.uint16, np.uint32, np.uint64]
OWN_BATCHES = {"drop_last", "sampler", "batch_sampler"}


def adapted(value: Any) -> Any:
    """The thing itself, or a copy of it in which each raw net, however deep, stands in an adapter.

    What holds a net (a Pipeline, a search) is copied without its contents, and not written to.
    """
    if isinstance(value, NeuralNet):
        return SkorchNet(value)
    if isinstance(value, list | tuple):
        parts = [adapted(part) for part in value]
        return type(value)(parts) if _differ(parts, value) else value
    if isinstance(value, type | SkorchNet | FrozenEstimator) or not hasattr(value, "get_params"):
        return value
    given = value.get_params(deep=False)
    params = {name: adapted(param) for name, param in given.items()}
    return copy(value).set_params(**params) if _differ(params.values(), given.values()) else value


def _differ(new: Any, old: Any) -> bool:
    return any(ours is not theirs for ours, theirs in zip(new, old, strict=True))


class SkorchNet(BaseEstimator):
    """A skorch net behind scikit-learn's contract, with parameters that pass for the net's own.

    Parameters
    ----------
    net : skorch.NeuralNet
        Cloned, never written to.
    random_state : int, RandomState or None
        Seeds weights, order of rows and dropout. Torch's and NumPy's global generators are put back.
    n_threads : int
        Torch's threads: results depend on their number.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained clone.
    classes_ : ndarray
        Labels of the classes, which the net knows as 0, 1, ...; only for a single column of classes.
    """

    def __init__(self, net: Any, random_state: Any = None, n_threads: int = 1) -> None:
        self.net = net
        self.random_state = random_state
        self.n_threads = n_threads

    def fit(self, X: Any, y: Any, *, groups: Any = None) -> Self:
        """Train a clone of the net; ``groups`` are for its ``train_split``."""
        _check_callbacks(self.net)
        self.seed_ = int(check_random_state(self.random_state).randint(2**31))
        net = clone(self.net)
        if net.iterator_train is DataLoader and not OWN_BATCHES & set(net.get_params_for("iterator_train")):
            net.set_params(iterator_train=whole_batches)
        # skorch itself covers a method for a while in this way, where it caches predictions.
        vars(net)["get_loss"] = partial(_loss, net)
        with _explained(), self._turn():
            net.fit(self._rows(X, reset=True), self._targets(y), **({} if groups is None else {"groups": groups}))
        del vars(net)["get_loss"]
        self.net_ = net
        return self

    def predict(self, X: Any) -> np.ndarray:
        found = self._ask("predict", X)
        if hasattr(self, "classes_"):
            # An output for a class that this fold lacks may win as long as the net has learnt little.
            return self.classes_[np.minimum(found.reshape(len(found)), len(self.classes_) - 1)]
        if found.size != len(found) * self._width:
            raise ValueError(
                f"The module must output one column per target, {self._width} in all; got an output of shape "
                f"{found.shape}. Change its last layer."
            )
        if not np.isfinite(found).all():
            raise ValueError(f"predict gave NaN or infinity. {DIVERGED}")
        return found.reshape(len(found), *self._target_shape)

    @available_if(lambda self: not is_regressor(self.net))
    def predict_proba(self, X: Any) -> np.ndarray:
        found = self._ask("predict_proba", X)
        several = not hasattr(self, "classes_")
        if found.ndim == 3:  # skorch's way with binary cross-entropy: (n_rows, no or yes, n_outputs)
            found = found[:, 1] if several else found[:, :, 0]
        if several:
            return found
        self._check_probabilities(found)
        n_classes = len(self.classes_)
        if found.shape[1] <= n_classes:
            return found
        seen = found[:, :n_classes]  # the module has outputs for classes that this fold lacks
        return seen / seen.sum(axis=1, keepdims=True)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Score by R^2 or accuracy, as skorch's nets: a search asks for it."""
        metric = r2_score if is_regressor(self.net) else accuracy_score
        return float(metric(y, self.predict(X), sample_weight=sample_weight))

    def _ask(self, method: str, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = self._rows(X, reset=False)
        with self._turn():
            return np.asarray(getattr(self.net_, method)(X))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """From the seed, on its own threads. Predicting draws too: each pass of a DataLoader does."""
        with held(n_threads=self.n_threads, seed=self.seed_), _numpy_seeded(self.seed_):
            yield

    def _rows(self, X: Any, *, reset: bool) -> Any:
        """float32, or integers where all are; NaN is refused, for one poisons a whole batch."""
        X = validate_data(self, X, reset=reset, dtype=ROW_TYPES, accept_sparse="csr", allow_nd=True)
        if X.dtype.kind in "iu" and X.dtype != np.uint8:  # bytes are images
            X = X.astype(np.int64)
        return np.require(X, requirements="W") if isinstance(X, np.ndarray) else X

    def _targets(self, y: Any) -> np.ndarray:
        """Codes of classes; anything else as float32 of shape (n_rows, n_outputs)."""
        y = np.asarray(y)
        self.__dict__.pop("classes_", None)  # of an earlier fit
        if y.ndim == 1 and y.dtype.kind != "f" and not is_regressor(self.net):
            self.classes_, codes = np.unique(y, return_inverse=True)
            return codes.astype(np.int64)
        self._target_shape = y.shape[1:]
        self._width = int(np.prod(self._target_shape))
        return y.astype(np.float32).reshape(len(y), self._width)

    def _check_probabilities(self, found: np.ndarray) -> None:
        if found.ndim != 2 or found.shape[1] < len(self.classes_):
            raise ValueError(
                f"The module must output one column per class, {len(self.classes_)} in all; got an output of shape "
                f"{found.shape}. Change its last layer."
            )
        sums = found.sum(axis=1)
        if (found >= 0).all() and (np.abs(sums - 1) <= SUM_TOLERANCE).all():
            return
        diverged = not np.isfinite(found).all()
        got = "NaN or infinity" if diverged else f"rows that sum to {sums.min():.3g} to {sums.max():.3g}"
        if isinstance(getattr(self.net_, "criterion_", None), torch.nn.NLLLoss):
            cure = (
                "With NLLLoss, skorch's default criterion, the module must return probabilities, from a softmax: "
                "skorch itself takes the logarithm. For a module that returns logits set "
                "criterion=torch.nn.CrossEntropyLoss."
            )
        else:
            cure = DIVERGED if diverged else "Set 'predict_nonlinearity' to what makes probabilities of the output."
        raise ValueError(f"predict_proba must give probabilities; got {got}. {cure}")

    # --- passing for the net ------------------------------------------------------------------------

    def set_params(self, **params: Any) -> Self:
        """Also by the net's own names: a search around the net knows no others."""
        own = {key: value for key, value in params.items() if key.partition("__")[0] in self.get_params(deep=False)}
        super().set_params(**own)
        self.net.set_params(**{key: value for key, value in params.items() if key not in own})
        return self

    def get_metadata_routing(self) -> Any:
        return self.net.get_metadata_routing()

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.net)


# --- training ---------------------------------------------------------------------------------------


def _check_callbacks(net: NeuralNet) -> None:
    callbacks = [] if isinstance(net.callbacks, str) else net.callbacks or []
    for item in callbacks:
        callback = item[1] if isinstance(item, tuple) else item
        if isinstance(callback, LoadInitState) or (isinstance(callback, Checkpoint) and callback.load_best):
            raise ValueError(
                f"The net's callbacks must not load weights from files, which all folds share; got "
                f"{type(callback).__name__}. Use EarlyStopping(load_best=True), which keeps the best epoch in memory."
            )


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """For skorch's random splits and the user's datasets, which draw from NumPy's global generator."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _loss(net: NeuralNet, output: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
    """The net's own loss, of a target in the shape of the output.

    Torch would spread (n,) against (n, 1) over n x n pairs, with no more than a warning.
    """
    binary = isinstance(getattr(net, "criterion_", None), torch.nn.BCELoss | torch.nn.BCEWithLogitsLoss)
    if isinstance(output, torch.Tensor) and (binary or target.is_floating_point()) and output.numel() == target.numel():
        target = target.reshape(output.shape).to(output)
    return type(net).get_loss(net, output, target, *args, **kwargs)


class _LoneRowMerged(BatchSampler):
    """Batches of which the last, of one row, joins the one before."""

    def __iter__(self) -> Iterator[list[int]]:
        *batches, before, lone = super().__iter__()
        return iter([*batches, before + lone])

    def __len__(self) -> int:
        return super().__len__() - 1


def whole_batches(dataset: Any, *, batch_size: int, shuffle: bool = False, **options: Any) -> DataLoader:
    """Make skorch's default loader, without a last batch of one row, which has no variance to normalise by."""
    if batch_size == 1 or len(dataset) <= batch_size or len(dataset) % batch_size != 1:
        return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle, **options)
    order = RandomSampler(dataset, generator=options.get("generator")) if shuffle else SequentialSampler(dataset)
    return DataLoader(dataset, batch_sampler=_LoneRowMerged(order, batch_size, drop_last=False), **options)


# --- what to change ---------------------------------------------------------------------------------

DIVERGED = "The training diverged: lower 'lr', or scale X, such as with a StandardScaler before the net."
SPLIT = (
    "The net's own 'train_split' cannot divide this training part: set train_split=None, or one with fewer parts or "
    "without 'stratified'."
)
DTYPE = (
    "The net gets float32, or X's integers as they are, for embeddings: keep the module in float32, and where it "
    "wants numbers pass X.astype('float32') or put a StandardScaler before the net."
)
# A pattern in torch's, skorch's or scikit-learn's message, and the cure.
CURES = {
    "could not convert string": "A net takes numbers: put an encoder before it in a Pipeline, such as a OneHotEncoder.",
    "Expected more than 1 value per channel": (
        "Batch normalisation needs two rows per batch: raise 'batch_size'; with a loader of your own, set "
        "iterator_train__drop_last=True."
    ),
    "shapes cannot be multiplied": "The module's first layer must take as many inputs as X has columns.",
    r"Target \d+ is out of bounds|axis 1 is out of bounds|floating point type for target": (
        "The module must have one output a class; for two classes one logit does, with "
        "criterion=torch.nn.BCEWithLogitsLoss."
    ),
    "must be the same as input size": (
        "Binary cross-entropy needs one output a target; for one output a class set "
        "criterion=torch.nn.CrossEntropyLoss."
    ),
    "for argument #1 'indices'": "Embeddings take integers: pass X as integers, without a scaler.",
    "index out of range in self": "An embedding needs more rows than the largest integer in X.",
    "n_splits=|least populated class|Stratified CV requires": SPLIT,
    "must have the same dtype|should be the same$|expected scalar type|not implemented for '": DTYPE,
}


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        cure = next((cure for pattern, cure in CURES.items() if re.search(pattern, str(error))), None)
        if cure is None:
            raise
        raise ValueError(f"{str(error).rstrip('.')}. {cure}") from error
