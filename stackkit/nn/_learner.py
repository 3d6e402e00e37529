"""What the estimators share: from scikit-learn's contract to training, and from nets back to predictions."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d
from torch import Tensor, nn
from torch.func import functional_call

from stackkit._data import check_length, check_weights, inner_split
from stackkit.nn._config import Recipe
from stackkit.nn._encoding import Encoding
from stackkit.nn._loop import TrainingRun, train
from stackkit.nn._network_state import NetworkState, TrainingTable
from stackkit.nn._parameters import DTYPES, OPTIMIZERS, check_parameters
from stackkit.nn._setup import Affine, Split, make_net, make_network_states, make_training_run, row_weights
from stackkit.nn._torch_settings import held

LARGEST_SEED = 2**31 - 1


class NetLearner(BaseEstimator):
    """A skorch net behind scikit-learn's contract.

    The kind of network says what goes in and how to train; the task says what comes out.
    """

    net_: Any
    n_features_in_: int
    # Parameters that all have.
    activation: Any
    batch_norm: bool
    dropout: float
    n_members: Any
    snapshots: Any
    max_epochs: Any
    batch_size: Any
    lr: Any
    schedule: Any
    optimizer: Any
    weight_decay: float
    clip_norm: Any
    early_stopping: Any
    validation_fraction: Any
    n_iter_no_change: Any
    tol: float
    batch_stats: Any
    warm_start: bool
    module: Any
    device: Any
    dtype: Any
    n_threads: Any
    random_state: Any
    callbacks: Any
    verbose: Any

    # --- by the kind of network -----------------------------------------------------------------------------

    _predicted_at_once = 2048  # rows

    def _inputs(self, X: Any, y: Any, *, reset: bool) -> tuple[np.ndarray, Any]:
        """X as the network takes it, and y checked beside it; "no_validation" for no y."""
        raise NotImplementedError

    def _input_shape(self, inputs: np.ndarray) -> tuple[int, ...]:
        """Of one row as a network gets it."""
        raise NotImplementedError

    def _maker(self, input_shape: tuple[int, ...], n_outputs: int) -> Callable[[], nn.Module]:
        raise NotImplementedError

    def _stops(self, n_rows: int, groups: Any) -> bool:
        """Whether rows are set aside to stop by; ``groups`` are those of the rows."""
        return bool(self.early_stopping)

    def _recipe(self, n_rows: int, *, stops: bool) -> Recipe:
        raise NotImplementedError

    def _members(self, n_rows: int, *, stops: bool) -> int:
        raise NotImplementedError

    def _input_affine(self, inputs: np.ndarray, rows: np.ndarray) -> Affine | None:
        """What puts the inputs on one scale, learned from some rows; None: nothing does."""
        return None

    def _encoding(self, inputs: np.ndarray, rows: np.ndarray) -> Encoding | None:
        """What columns become, learned from some rows; None: they stay as they are."""
        return None

    def _unseen(self, network: nn.Module, inputs: Tensor, rows: np.ndarray, *, on: bool) -> Tensor | None:
        """Inputs of the first layer that a network starts without and is not to see; None: it sees them all."""
        return None

    # --- by the task ------------------------------------------------------------------------------------------

    def _as_target(self, y: Any) -> np.ndarray:
        raise NotImplementedError

    def _table(
        self, inputs: Tensor, y: np.ndarray, rows: np.ndarray, tables: dict[Any, TrainingTable], *, known: bool
    ) -> TrainingTable:
        """What all networks read from, shared by the folds that can; ``known``: classes are not to be looked up."""
        raise NotImplementedError

    def _target_affine(self, y: np.ndarray, rows: np.ndarray) -> Affine | None:
        return None

    # --- fitting ----------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images
            What to learn from.
        y : array-like of shape (n_samples,) or, for a regressor, (n_samples, n_outputs)
            What to learn.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss; rows of weight zero are left out.
        groups : array-like of shape (n_samples,), default=None
            With ``early_stopping``, rows of one group stay together when rows to stop by are set aside.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the data or a parameter is not as it has to be, or if training diverges.
        """
        on = bool(self.warm_start) and hasattr(self, "net_")
        check_parameters(self)
        inputs, y = self._inputs(X, y, reset=not on)
        y = self._as_target(y)
        _train([self], inputs, y, [np.arange(len(y))], sample_weight, groups, on=on, remembers=self.warm_start)
        return self

    def _fit_folds(
        self, X: Any, y: Any, folds: Sequence[np.ndarray], sample_weight: Any, groups: Any, n_features: Any
    ) -> list[Any]:
        check_parameters(self)
        seeds = check_random_state(self.random_state).randint(LARGEST_SEED, size=len(folds))
        learners = [clone(self).set_params(random_state=int(seed)) for seed in seeds]
        inputs, y = learners[0]._inputs(X, y, reset=True)
        for learner in learners[1:]:
            vars(learner).update({key: value for key, value in vars(learners[0]).items() if key.endswith("_in_")})
        for learner, width in zip(learners, n_features or [inputs.shape[1]] * len(folds), strict=True):
            learner.n_features_in_ = width
        _train(learners, inputs, self._as_target(y), [np.asarray(rows) for rows in folds], sample_weight, groups)
        return learners

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, *, known: bool) -> Self:
        on = hasattr(self, "net_")
        check_parameters(self)
        inputs, y = self._inputs(X, y, reset=not on)
        y, rows = self._as_target(y), [np.arange(len(y))]
        _train([self], inputs, y, rows, sample_weight, None, on=on, known=known, remembers=True, one_epoch=True)
        return self

    def _prepare(
        self,
        inputs: np.ndarray,
        table: TrainingTable,
        y: np.ndarray,
        rows: np.ndarray,
        weights: Any,
        groups: Any,
        *,
        on: bool,
        one_epoch: bool,
    ) -> tuple[Any, list[NetworkState], Recipe]:
        """Make what is trained, or take what is there and train it on."""
        all_weights = row_weights(weights, getattr(self, "class_weight", None), y, rows)
        if all_weights is not None:
            rows = rows[all_weights[rows] > 0]
        stops = not one_epoch and self._stops(len(rows), None if groups is None else np.asarray(groups)[rows])
        random, n_members = check_random_state(self.random_state), self._members(len(rows), stops=stops)
        if on:  # other orders than before
            random = check_random_state(random.randint(LARGEST_SEED) + len(self.net_.history))
            n_members = len(self.net_.module_.members)
        first_weights, *streams = random.randint(LARGEST_SEED, size=(3, n_members))
        recipe = self._recipe(len(rows), stops=stops)
        if one_epoch:
            recipe = replace(recipe, max_epochs=1, schedule="constant", cycles=1)
        splits: list[Split] = [(rows, None)] * n_members
        if stops:
            splits = self._splits(y, rows, groups, random.randint(LARGEST_SEED, size=n_members))
        least = min(len(train) for train, _ in splits)
        if least < 2:
            raise ValueError(f"Batch Normalization needs at least 2 rows to learn from; got n_samples = {least}.")
        if not on:
            self._affine = self._target_affine(y, rows)
            self.net_ = self._new_net(inputs, y, rows, first_weights, recipe, table.targets.shape[1])
        module = self.net_.module_
        if on and module.output_range is not None:
            module.output_range = _joined(module.output_range, _range_of(y[rows]))
        affine = None if self._affine is None else table.seen(self._affine)
        network_states = make_network_states(
            self.net_,
            table,
            splits,
            n_features=self.n_features_in_ if inputs.ndim == 2 else None,
            streams=np.stack(streams, axis=1),
            weights=all_weights,
            target_affine=affine,
            encoding=None if module.encoder is None else module.encoder.encoding(),
            unseen=[
                self._unseen(network, table.inputs, train, on=on)
                for network, (train, _) in zip(module.members, splits, strict=True)
            ],
        )
        return self.net_, network_states, recipe

    def _splits(self, y: np.ndarray, rows: np.ndarray, groups: Any, seeds: Sequence[int]) -> list[Split]:
        """Rows to learn from and rows to stop by, others for each member: together they learn from (nearly) all."""
        classifier = isinstance(self, ClassifierMixin)
        return [
            inner_split(y, rows, groups, self.validation_fraction, int(seed), classifier=classifier) for seed in seeds
        ]

    def _new_net(
        self, inputs: np.ndarray, y: np.ndarray, rows: np.ndarray, seeds: Sequence[int], recipe: Recipe, n_outputs: int
    ) -> Any:
        encoding = self._encoding(inputs, rows)
        return make_net(
            self._maker(self._input_shape(inputs) if encoding is None else encoding.shape, n_outputs),
            seeds,
            classes=getattr(self, "classes_", None),
            dtype=DTYPES[self.dtype],
            input_affine=self._input_affine(inputs, rows),
            output_affine=self._affine,
            encoding=encoding,
            output_range=None if self._affine is None else _range_of(y[rows]),
            test_shifts=getattr(self, "test_shifts", False),
            settings={
                "optimizer": OPTIMIZERS[recipe.optimizer] if isinstance(recipe.optimizer, str) else recipe.optimizer,
                "lr": recipe.lr,
                "max_epochs": recipe.max_epochs,
                "batch_size": recipe.batch_size,
                "callbacks": self.callbacks,
                "device": str(recipe.device),
                "verbose": self.verbose,
            },
        )

    def _where(self) -> torch.device:
        if self.device != "auto":
            return torch.device(self.device)
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    # --- predicting -------------------------------------------------------------------------------------------

    def _predicted(self, X: Any) -> np.ndarray:
        """The net's outputs (n_samples, n_outputs), float64: logarithms of probabilities, or values.

        Computed in the precision of X: float32 depends in its last digits on which rows come together.
        """
        check_is_fitted(self)
        inputs, _ = self._inputs(X, "no_validation", reset=False)
        module, size = self.net_.module_.eval(), self._predicted_at_once
        with held(n_threads=self.n_threads), torch.inference_mode():
            state = dict(chain(module.named_parameters(), module.named_buffers()))
            if inputs.dtype == np.float64:
                state = {name: t.double() if t.is_floating_point() else t for name, t in state.items()}
            like = next(iter(state.values()))
            parts = [
                # Cloned: torch's products differ in the last digits where numbers lie otherwise in memory.
                functional_call(module, state, as_tensor(inputs[i : i + size], like).clone()).double().cpu()
                for i in range(0, len(inputs), size)
            ]
        return torch.cat(parts).numpy()

    @property
    def history_(self) -> Any:
        """Skorch's history: losses and seconds of each epoch."""
        return self.net_.history

    @property
    def loss_curve_(self) -> list[float]:
        """Mean loss on the training rows in each epoch, members averaged."""
        return list(self.net_.history[:, "train_loss"])


class NetClassifier(ClassifierMixin, NetLearner):
    """Cross-entropy on one-hot targets."""

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images
            The rows.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``; the mean over the members.
        """
        return self._as_probabilities(self._predicted(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images
            The rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        return self._as_prediction(self._predicted(X))

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train on for one epoch over these rows, at the constant rate ``lr``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images
            What to learn from.
        y : array-like of shape (n_samples,)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come; needed in the first call, if it does not have them all.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss.

        Returns
        -------
        self : object
        """
        if classes is not None and not hasattr(self, "net_"):
            self.classes_ = np.unique(classes)
        return self._partial_fit(X, y, sample_weight, known=classes is not None)

    def _as_probabilities(self, outputs: np.ndarray) -> np.ndarray:
        probabilities = np.exp(outputs)
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    def _as_prediction(self, outputs: np.ndarray) -> np.ndarray:
        labels: np.ndarray = self.classes_[outputs.argmax(axis=1)]
        return labels

    def _as_target(self, y: Any) -> np.ndarray:
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return y

    def _table(
        self, inputs: Tensor, y: np.ndarray, rows: np.ndarray, tables: dict[Any, TrainingTable], *, known: bool
    ) -> TrainingTable:
        if not known:
            self.classes_ = np.unique(y[rows])
        unknown = np.setdiff1d(y[rows], self.classes_)
        if unknown.size:
            raise ValueError(
                f"y has the classes {unknown.tolist()}, which the network does not know: it has "
                f"{self.classes_.tolist()}. Name all of them in the first call of partial_fit: classes=..."
            )
        key = tuple(self.classes_.tolist())
        if key not in tables:
            hits = torch.from_numpy(y[:, np.newaxis] == self.classes_)
            tables[key] = TrainingTable(inputs, hits.to(inputs.device, DTYPES[self.dtype]))
        return tables[key]


class NetRegressor(RegressorMixin, NetLearner):
    """Squared errors on standardised targets."""

    _shape: tuple[int, ...]  # of the targets of one row

    def predict(self, X: Any) -> np.ndarray:
        """The expected values of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images
            The rows.

        Returns
        -------
        values : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            As y was.
        """
        return self._as_prediction(self._predicted(X))

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on for one epoch over these rows, at the constant rate ``lr``.

        The targets are standardised as in the first call.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images
            What to learn from.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Values.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss.

        Returns
        -------
        self : object
        """
        return self._partial_fit(X, y, sample_weight, known=False)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _as_prediction(self, outputs: np.ndarray) -> np.ndarray:
        return outputs if self._shape else outputs[:, 0]

    def _as_target(self, y: Any) -> np.ndarray:
        return np.asarray(y, dtype=np.float64)

    def _table(
        self, inputs: Tensor, y: np.ndarray, rows: np.ndarray, tables: dict[Any, TrainingTable], *, known: bool
    ) -> TrainingTable:
        if known and y.shape[1:] != self._shape:
            raise ValueError(f"y must be as in the first fit, {self._shape or 'one value'} per row; got {y.shape[1:]}.")
        self._shape = y.shape[1:]
        if None not in tables:
            # Near zero and one, where float32 is precise; each network then takes away the mean of its own rows,
            # so that nothing of the others remains. Quantiles, which an extreme value does not move.
            columns = y.reshape(len(y), -1)
            mean, scale = np.median(columns, axis=0), _spread(columns)
            targets = torch.from_numpy((columns - mean) / scale).to(inputs.device, DTYPES[self.dtype])
            tables[None] = TrainingTable(inputs, targets, mean, scale)
        return tables[None]

    def _target_affine(self, y: np.ndarray, rows: np.ndarray) -> Affine:
        columns = y[rows].reshape(len(rows), -1)
        return columns.mean(axis=0), _scale(columns)


def _spread(columns: np.ndarray) -> np.ndarray:
    low, high = np.quantile(columns, [0.25, 0.75], axis=0)
    return np.where(high > low, high - low, _scale(columns))


def _scale(columns: np.ndarray) -> np.ndarray:
    scale = columns.std(axis=0)
    return np.where(scale > 0, scale, 1.0)


def _range_of(y: np.ndarray) -> Affine:
    columns = y.reshape(len(y), -1)
    return columns.min(axis=0), columns.max(axis=0)


def _joined(known: Tensor, more: Affine) -> Tensor:
    """The range of all values seen so far."""
    least, most = (torch.as_tensor(limit, dtype=known.dtype, device=known.device) for limit in more)
    return torch.stack([known[0].minimum(least), known[1].maximum(most)])


def as_tensor(inputs: np.ndarray, like: Tensor) -> Tensor:
    """Floats of the network's precision; bytes stay bytes, a quarter of the memory."""
    tensor = torch.from_numpy(np.require(inputs, requirements=["C", "W"])).to(like.device)
    return tensor if tensor.dtype == torch.uint8 else tensor.to(like.dtype)


def _train(
    learners: Sequence[Any],
    inputs: np.ndarray,
    y: np.ndarray,
    folds: Sequence[np.ndarray],
    sample_weight: Any,
    groups: Any,
    *,
    on: bool = False,
    known: bool = False,
    remembers: bool = False,
    one_epoch: bool = False,
) -> None:
    """Train one learner on each fold's rows, all at once.

    ``on``: go on with the nets that are there; ``known``: the classes are; ``remembers``: the nets will go on some
    day; ``one_epoch``: at a constant rate.
    """
    weights = check_weights(sample_weight, len(inputs))
    if groups is not None:
        check_length("groups", groups, len(inputs))
    first = learners[0]
    x = as_tensor(inputs, torch.empty(0, dtype=DTYPES[first.dtype], device=first._where()))
    if x.dtype != torch.uint8 and x.isinf().any():
        raise ValueError(f"X has values too large for {first.dtype}; scale it, or set dtype='float64'.")
    tables: dict[Any, TrainingTable] = {}
    training_runs: dict[Recipe, list[TrainingRun]] = {}
    seed = check_random_state(first.random_state).randint(LARGEST_SEED)
    with held(n_threads=first.n_threads, seed=seed):
        for learner, rows in zip(learners, folds, strict=True):
            table = learner._table(x, y, rows, tables, known=known or on)
            net, network_states, recipe = learner._prepare(
                inputs, table, y, rows, weights, groups, on=on, one_epoch=one_epoch
            )
            training_runs.setdefault(recipe, []).append(make_training_run(net, network_states, remembers=remembers))
        for recipe, same in training_runs.items():
            train(same, recipe)
