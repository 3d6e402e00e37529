"""Parameters are looked at in fit, before anything is trained."""

import re

import numpy as np
import pytest
import torch
from skorch.callbacks import (
    BatchScoring,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    GradientNormClipping,
    LRScheduler,
    ProgressBar,
)

from stackkit.nn import BNCNNClassifier, BNCNNRegressor, BNMLPClassifier, BNMLPRegressor
from stackkit.nn._parameters import check_parameters

MLPS = [BNMLPClassifier, BNMLPRegressor]
CNNS = [BNCNNClassifier, BNCNNRegressor]
EVERY = [*MLPS, *CNNS]
X = np.random.default_rng(0).normal(size=(12, 9))
Y = np.arange(12) % 2
LATER = "for the rest make a skorch net of your own a learner of the stack"


def message_of(kind, **params):
    with pytest.raises(ValueError) as caught:
        check_parameters(kind(**params))
    return str(caught.value)


# --- one of a few --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize(
    ("name", "slip", "meant", "options"),
    [
        ("activation", "rellu", "relu", "'relu', 'tanh', 'sigmoid', 'selu', 'silu', 'mish'"),
        ("dtype", "flaot64", "float64", "'float32', 'float64'"),
        ("batch_stats", "runing", "running", "'population', 'running'"),
        ("schedule", "one_cycle", "one-cycle", "'constant', 'one-cycle', 'cosine', 'flat-cosine', 'coslog4'"),
        ("optimizer", "adamw", "adam", "'adam', 'sgd', .*"),
    ],
)
def test_a_slip_is_answered_with_a_guess(kind, name, slip, meant, options):
    sentence = (
        rf"^The '{name}' parameter of {kind.__name__} must be one of {options}; got '{slip}'\. "
        rf"Did you mean '{meant}'\?$"
    )
    assert re.match(sentence, message_of(kind, **{name: slip}))


@pytest.mark.parametrize("kind", CNNS)
def test_a_slip_in_the_precision(kind):
    sentence = (
        rf"^The 'precision' parameter of {kind.__name__} must be one of .*; got 'float3'\. Did you mean 'float32'"
    )
    assert re.match(sentence, message_of(kind, precision="float3"))


@pytest.mark.parametrize("kind", MLPS)
def test_a_slip_in_the_regularization(kind):
    sentence = (
        rf"^The 'regularization_schedule' parameter of {kind.__name__} must be one of 'constant', 'cosine', "
        rf"'flat-cosine'; got 'flat_cosine'\. Did you mean 'flat-cosine'\?$"
    )
    assert re.match(sentence, message_of(kind, regularization_schedule="flat_cosine"))


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("value", ["zzz", 3, (0,)])
def test_what_is_like_nothing_brings_no_guess(kind, value):
    message = message_of(kind, activation=value)
    assert message.endswith(f"; got {value!r}.")


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("dtype", [np.float64, torch.float64])
def test_a_dtype_is_named_by_a_string(kind, dtype):
    assert f"got {dtype!r}" in message_of(kind, dtype=dtype)


# --- numbers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("max_epochs", 1),
        ("batch_size", 2),
        ("n_members", 1),
        ("snapshots", 1),
        ("n_iter_no_change", 1),
        ("n_threads", 1),
    ],
)
def test_counts_are_whole_numbers_from_some_number_on(kind, name, least):
    for wrong in (least - 1, -7, least + 0.5, float(least), np.nan, "3", True, [4]):
        sentence = f"The {name!r} parameter of {kind.__name__} must be a whole number, {least} or more; got {wrong!r}."
        assert message_of(kind, **{name: wrong}) == sentence
    for right in (least, np.int64(least), 1000):
        check_parameters(kind(**{name: right}))


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("name", ["lr", "weight_decay", "tol"])
def test_rates_are_finite_and_not_negative(kind, name):
    for wrong in (-1e-9, np.inf, np.nan, "0.1", False, [0.1]):
        sentence = f"The {name!r} parameter of {kind.__name__} must be a number, 0 or more; got {wrong!r}."
        assert message_of(kind, **{name: wrong}) == sentence
    for right in (0, 0.5, 1e30, np.float32(0.1)):
        check_parameters(kind(**{name: right}))


@pytest.mark.parametrize("kind", EVERY)
def test_gradients_are_shortened_to_something(kind):
    for wrong in (0, 0.0, -1, np.inf, np.nan, "1", True, [1.0]):
        sentence = f"The 'clip_norm' parameter of {kind.__name__} must be a number above 0, or None; got {wrong!r}."
        assert message_of(kind, clip_norm=wrong) == sentence
    for right in (None, 1e-9, 1, np.float32(0.5), 1e30):
        check_parameters(kind(clip_norm=right))


@pytest.mark.parametrize("kind", EVERY)
def test_dropout_leaves_something(kind):
    for wrong in (-0.1, 1, 1.0, 2.5, np.nan, "half"):
        sentence = (
            f"The 'dropout' parameter of {kind.__name__} must be a number, at least 0 and less than 1; got {wrong!r}."
        )
        assert message_of(kind, dropout=wrong) == sentence
    for right in (0, 0.0, 0.999):
        check_parameters(kind(dropout=right))


@pytest.mark.parametrize("kind", CNNS)
def test_an_average_has_a_decay_and_a_cut_out_pixels(kind):
    for wrong in (-0.1, 1, 1.0, np.nan, "0.9", True):
        sentence = f"The 'ema_decay' parameter of {kind.__name__} must be a number, at least 0 and less than 1; got "
        assert message_of(kind, ema_decay=wrong) == f"{sentence}{wrong!r}."
    for wrong in (0, -4, 2.5, 4.0, np.nan, "4", True):
        sentence = f"The 'cutout' parameter of {kind.__name__} must be a whole number, 1 or more; got {wrong!r}."
        assert message_of(kind, cutout=wrong) == sentence
    for right in ({"ema_decay": 0}, {"ema_decay": np.float32(0.99)}, {"cutout": np.int64(4)}, {"cutout": 100}):
        check_parameters(kind(**right))


@pytest.mark.parametrize("kind", EVERY)
def test_what_may_be_left_open(kind):
    check_parameters(kind())
    check_parameters(kind(n_members="auto", batch_size="auto", snapshots=None, n_threads=None, callbacks=None))
    check_parameters(kind(optimizer=torch.optim.RMSprop, callbacks=[]))
    if kind in CNNS:
        check_parameters(kind(max_epochs="auto", lr="auto", schedule="auto", optimizer="auto", precision="auto"))
        check_parameters(kind(ema_decay=None, cutout=None))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, None) for name in ("activation", "dtype", "lr", "max_epochs", "batch_size", "dropout", "n_members")),
        *((name, None) for name in ("optimizer", "schedule", "batch_stats", "n_iter_no_change", "tol")),
        *((name, "auto") for name in ("activation", "dtype", "dropout", "snapshots", "n_threads", "batch_stats")),
        *((name, "auto") for name in ("lr", "schedule", "optimizer")),
    ],
)
def test_what_may_not_be_left_open(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of BNMLPClassifier must be .*; got {value!r}"):
        BNMLPClassifier(**({"n_members": 1, "max_epochs": 1} | {name: value})).fit(X, Y)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_layer_sizes", 8),
        ("hidden_layer_sizes", (0,)),
        ("hidden_layer_sizes", (8, -1)),
        ("hidden_layer_sizes", (2.5,)),
        ("optimizer", int),
        ("callbacks", 3),
    ],
)
def test_other_shapes_and_kinds(name, value):
    with pytest.raises(ValueError, match=name):
        BNMLPClassifier(**({"n_members": 1, "max_epochs": 1} | {name: value})).fit(X, Y)


# --- what goes together ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("other", ["early_stopping", "warm_start"])
def test_snapshots_want_whole_cycles(kind, other):
    message = message_of(kind, snapshots=2, **{other: True})
    assert message == (
        f"{kind.__name__} takes snapshots at the ends of the learning rate's cycles, which early_stopping and "
        f"warm_start would break up. Leave them False, or set snapshots=None."
    )
    check_parameters(kind(snapshots=2))
    check_parameters(kind(**{other: True}))


# --- callbacks -----------------------------------------------------------------------------------------


class CountsEpochs(EpochTimer):
    def on_epoch_end(self, net, **kwargs):
        super().on_epoch_end(net, **kwargs)


class CountsBatches(EpochTimer):
    def on_batch_end(self, net, **kwargs):
        """Never called here."""


class LooksBeforeBatches(EpochTimer):
    def on_batch_begin(self, net, **kwargs):
        """Never called here."""


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize(
    "callback",
    [
        EpochScoring("accuracy"),
        Checkpoint(monitor="train_loss_best"),
        EarlyStopping(monitor="train_loss"),
        EpochTimer(),
        ProgressBar(),
        CountsEpochs(),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_callbacks_that_act_on_epochs_are_welcome(kind, callback):
    for given in (callback, ("named", callback), type(callback)):
        check_parameters(kind(callbacks=[given]))


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize(
    ("callback", "hook"),
    [
        (LRScheduler(), "on_batch_end"),
        (BatchScoring("accuracy"), "on_batch_end"),
        (CountsBatches(), "on_batch_end"),
        (LooksBeforeBatches(), "on_batch_begin"),
        (GradientNormClipping(1.0), "on_grad_computed"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_callbacks_that_act_on_batches_are_refused(kind, callback, hook):
    for given in (callback, ("named", callback), type(callback)):
        message = message_of(kind, callbacks=[EpochTimer(), given])
        assert message == (
            f"The 'callbacks' parameter of {kind.__name__} takes skorch callbacks that act on epochs; "
            f"{type(callback).__name__} has {hook}, which would never be called. For the learning rate set "
            f"'schedule', against long gradients 'clip_norm'; {LATER}."
        )


# --- when ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("door", ["fit", "partial_fit", "fit_folds"])
def test_every_door_is_watched_and_nothing_is_left_behind(kind, door):
    estimator = kind(activation="rellu")  # no error here: scikit-learn sets parameters one by one
    if not hasattr(estimator, door):
        assert kind in CNNS
        return
    folds = [[np.arange(12)]] if door == "fit_folds" else []
    with pytest.raises(ValueError, match="Did you mean 'relu'"):
        getattr(estimator, door)(X, Y, *folds)
    assert not [name for name in vars(estimator) if name.endswith("_")]


def test_parameters_set_later_are_checked_too():
    estimator = BNMLPClassifier(n_members=1, max_epochs=1).fit(X, Y)
    with pytest.raises(ValueError, match="'lr' parameter of BNMLPClassifier must be a number, 0 or more; got -1"):
        estimator.set_params(lr=-1).fit(X, Y)
