"""What a network's training begins with: its skorch net, its rows, its weights, its seeds."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils.class_weight import compute_sample_weight
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import Tensor, nn

from stackkit.nn._encoding import Encoding
from stackkit.nn._loop import TrainingRun
from stackkit.nn._modules import Average
from stackkit.nn._network_state import NetworkState, TrainingTable

Affine = tuple[np.ndarray, np.ndarray]  # a mean to take away, and a scale to divide by then
Split = tuple[np.ndarray, np.ndarray | None]  # rows to learn from, and rows to stop by


def make_net(
    make: Callable[[], nn.Module],
    seeds: Sequence[int],
    *,
    classes: np.ndarray | None,
    dtype: torch.dtype,
    input_affine: Affine | None,
    output_affine: Affine | None,
    settings: dict[str, Any],
    encoding: Encoding | None = None,
    output_range: Affine | None = None,
    test_shifts: bool = False,
) -> Any:
    """A skorch net of one member a seed, initialized; ``classes`` for a classifier."""
    kind: dict[str, Any] = {"criterion": nn.MSELoss}
    if classes is not None:
        # The accuracy after each epoch would cost a prediction; who wants it adds an EpochScoring.
        kind = {"criterion": nn.CrossEntropyLoss, "classes": classes, "callbacks__valid_acc": None}
    net = (NeuralNetRegressor if classes is None else NeuralNetClassifier)(
        Average,
        module__make=make,
        module__seeds=tuple(int(seed) for seed in seeds),
        module__classifier=classes is not None,
        module__dtype=dtype,
        module__input_affine=_as_lists(input_affine),
        module__output_affine=_as_lists(output_affine),
        module__encoding=encoding,
        module__output_range=_as_lists(output_range),
        module__test_shifts=test_shifts,
        train_split=None,  # rows to stop by are set aside before skorch sees any
        use_caching=False,  # callbacks cannot read off batches that skorch did not run
        **kind,
        **settings,
    )
    if not net.verbose:
        net.set_params(callbacks__print_log=None)  # it makes its table even where it does not print it
    with _no_compiler():
        return net.initialize()


@contextmanager
def _no_compiler() -> Iterator[None]:
    """Keep torch from loading its compiler, which takes a process longer than the training on a small table.

    Its first optimizer would, to have a method of its own left alone by the compiler; here nothing is compiled. A torch
    that goes about this in another way loads it as ever.
    """
    method = getattr(torch.optim.Optimizer.add_param_group, "__wrapped__", None)
    if method is None or "torch._dynamo" in sys.modules:
        yield
        return
    vars(method)["__dynamo_disable"] = method
    try:
        yield
    finally:
        vars(method).pop("__dynamo_disable", None)  # another thread may have done it


def _as_lists(affine: Affine | None) -> tuple[list[float], list[float]] | None:
    return None if affine is None else (affine[0].tolist(), affine[1].tolist())


def row_weights(
    sample_weight: np.ndarray | None, class_weight: Any, y: np.ndarray, rows: np.ndarray
) -> np.ndarray | None:
    """A weight for every row of the table, mean one over ``rows``; None where all weigh the same."""
    if sample_weight is None and class_weight is None:
        return None
    weights = np.zeros(len(y))
    weights[rows] = 1.0 if sample_weight is None else sample_weight[rows]
    if isinstance(class_weight, dict):  # its keys are classes of the table, of which these rows may lack some
        weights[rows] *= compute_sample_weight(class_weight, y)[rows]
    elif class_weight is not None:
        heavy = rows[weights[rows] != 0]  # a row without weight is as good as absent, also where classes are counted
        weights[heavy] *= compute_sample_weight(class_weight, y[heavy])
    if (weights < 0).any():
        raise ValueError("sample_weight and class_weight must not be negative here: a loss must be worth lowering.")
    if not weights.any():
        raise ValueError("sample_weight and class_weight are zero for all rows; at least one must count.")
    return weights / weights[weights > 0].mean()


def make_network_states(
    net: Any,
    table: TrainingTable,
    splits: Sequence[Split],
    *,
    n_features: int | None,
    streams: np.ndarray,
    weights: np.ndarray | None,
    target_affine: Affine | None,
    encoding: Encoding | None,
    unseen: Sequence[Tensor | None],
) -> list[NetworkState]:
    """One per member of the net; ``streams`` (members, 2) seed the order of its rows and its noise."""
    device, dtype = table.targets.device, table.targets.dtype

    def tensor(values: Any) -> Tensor | None:
        return None if values is None else torch.as_tensor(values, dtype=dtype, device=device)

    mean, scale = target_affine or (None, None)
    every_weight = tensor(weights)
    # Copies: in a worker, folds are mapped from disk, not to be written to.
    rows = {id(part): torch.tensor(part, device=device) for split in splits for part in split if part is not None}
    return [
        NetworkState(
            network,
            table,
            rows[id(train)],
            torch.Generator().manual_seed(int(order)),
            torch.Generator().manual_seed(int(noise)),
            valid=None if valid is None else rows[id(valid)],
            n_features=n_features,
            weight=every_weight,
            mean=tensor(mean),
            scale=tensor(scale),
            encoding=encoding,
            unseen=own_unseen,
            scaled=net.module_.scaled,
            moments=dict(net.optimizer_.state),
        )
        for network, (order, noise), (train, valid), own_unseen in zip(
            net.module_.members, streams, splits, unseen, strict=True
        )
    ]


def make_training_run(net: Any, network_states: list[NetworkState], *, remembers: bool) -> TrainingRun:
    """With callbacks of the user's, skorch gets the data to hand on to them."""
    arguments: dict[str, Any] = {}
    if net.callbacks:
        first = network_states[0]
        arguments = {
            "dataset_train": _dataset(net, first.table, first.train),
            "dataset_valid": None if first.valid is None else _dataset(net, first.table, first.valid),
        }
    return TrainingRun(net, network_states, arguments, remembers=remembers)


def _dataset(net: Any, table: TrainingTable, rows: Tensor) -> Any:
    inputs, targets = table.inputs[rows].cpu(), table.targets[rows].cpu()
    if isinstance(net, NeuralNetClassifier):
        return net.get_dataset(inputs, targets.argmax(1))
    return net.get_dataset(inputs, torch.from_numpy(targets.numpy() * table.scale + table.mean))
