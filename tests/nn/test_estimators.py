"""What goes into the four estimators: tables, labels, images, presets, modules of one's own."""

import inspect
import math
import re
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import Drops, Layers
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.preprocessing import StandardScaler
from torch import nn

from stackkit.nn import (
    BNCNN,
    BNMLP,
    Augmentation,
    BNCNNClassifier,
    BNCNNRegressor,
    BNMLPClassifier,
    BNMLPRegressor,
    ConvBlock,
)
from stackkit.nn._modules import Average

RNG = np.random.default_rng(0)
N = 60
ALL = np.arange(N)
X = RNG.normal(size=(N, 4))
VALUES = 2 * X[:, 0] - X[:, 1]
Y = (VALUES > 0).astype(int)
Y3 = np.digitize(VALUES, [-1, 1])
BYTES = RNG.integers(0, 256, (N, 6, 6)).astype(np.uint8)
BYTES[Y == 1, 2:4] //= 4  # darker in the middle
COLOURS = RNG.integers(0, 256, (N, 3, 6, 5)).astype(np.uint8)

MLPS = [BNMLPClassifier, BNMLPRegressor]
CNNS = [BNCNNClassifier, BNCNNRegressor]
EVERY = pytest.mark.parametrize("kind", [*MLPS, *CNNS])
SHORT = {"n_members": 1, "max_epochs": 3, "batch_size": 16, "lr": 0.02, "schedule": "cosine", "random_state": 0}
LONG = SHORT | {"max_epochs": 30}
PLAIN = SHORT | {"precision": "float32"}


SMALL = {"preset": None, "blocks": [ConvBlock(4, stride=2)], "precision": "float32"}


def short(kind, **params):
    return kind((8,), **SHORT | params) if kind in MLPS else kind(**SHORT | SMALL | params)


def data_of(kind):
    return (X if kind in MLPS else BYTES), (Y3 if is_classifier(kind()) else VALUES)


def fitted(kind, **params):
    return short(kind, **params).fit(*data_of(kind))


def answers(estimator, rows):
    return estimator.predict_proba(rows) if is_classifier(estimator) else estimator.predict(rows)


def members(estimator):
    return estimator.net_.module_.members


# --- labels ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["no", "perhaps", "yes"]),
        np.array(["no", "perhaps", "yes"], dtype=object),
        np.array([3, 5, 10]),
        np.array([-7, 0, 2**40]),
        np.array([1, 2, 3], dtype=np.uint8),
        np.array([-1.0, 0.0, 4.0]),
        np.array([False, True, True]),
    ],
    ids=["text", "objects", "numbers", "far apart", "bytes", "floats", "bool"],
)
@pytest.mark.parametrize("kind", [BNMLPClassifier, BNCNNClassifier])
@pytest.mark.parametrize("wrap", [np.asarray, list, pd.Series], ids=["array", "list", "series"])
def test_labels_of_any_type(kind, labels, wrap):
    y = labels[Y3]
    rows = X if kind is BNMLPClassifier else np.kron(X.reshape(N, 2, 2), np.ones((3, 3)))
    model = short(kind, max_epochs=30).fit(rows, wrap(y))
    assert model.classes_.tolist() == np.unique(y).tolist()
    probabilities = model.predict_proba(rows)
    assert probabilities.dtype == np.float64
    assert probabilities.shape == (N, len(np.unique(y)))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-14)
    found = model.predict(rows)
    np.testing.assert_array_equal(found, model.classes_[probabilities.argmax(axis=1)])
    assert found.dtype == model.classes_.dtype
    assert (found == y).mean() > 0.8


def test_probabilities_are_in_the_order_of_the_classes():
    codes, text = (
        short(BNMLPClassifier, **LONG, early_stopping=False).fit(X, y) for y in (Y3, np.array(["c", "b", "a"])[Y3])
    )
    assert text.classes_.tolist() == ["a", "b", "c"]
    for i, label in enumerate("cba"):
        own = i == Y3
        assert codes.predict_proba(X)[own, i].mean() > 0.6
        assert text.predict_proba(X)[own, list(text.classes_).index(label)].mean() > 0.6


@pytest.mark.parametrize("kind", [BNMLPClassifier, BNCNNClassifier])
def test_one_class_is_certain(kind):
    rows, _ = data_of(kind)
    model = short(kind).fit(rows, ["same"] * N)
    np.testing.assert_array_equal(model.predict_proba(rows), np.ones((N, 1)))
    assert set(model.predict(rows)) == {"same"}


def test_values_are_no_classes():
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        short(BNMLPClassifier).fit(X, VALUES)
    with pytest.raises(ValueError, match="1d array"):
        short(BNMLPClassifier).fit(X, np.column_stack([Y, 1 - Y]))


# --- tables ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [
        list,
        np.asfortranarray,
        lambda rows: rows.astype(np.float32).astype(np.float64)[:, ::-1][:, ::-1],
        lambda rows: pd.DataFrame(rows, columns=list("abcd")),
        lambda rows: pl.DataFrame(rows, schema=list("abcd")),
    ],
    ids=["list", "fortran", "view", "pandas", "polars"],
)
def test_tables_of_any_kind(wrap):
    rows = X.astype(np.float32).astype(np.float64)
    expected = short(BNMLPClassifier).fit(rows, Y).predict_proba(rows)
    found = short(BNMLPClassifier).fit(wrap(rows), Y).predict_proba(wrap(rows))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.int8, np.uint8, bool])
@pytest.mark.parametrize("kind", MLPS)
def test_numbers_of_any_type(kind, dtype):
    rows = (10 * X).astype(dtype) if dtype is not bool else X > 0
    model = short(kind).fit(rows, data_of(kind)[1])
    found = answers(model, rows)
    assert found.dtype == np.float64
    as_float = rows.astype(np.float64)
    np.testing.assert_allclose(found, answers(short(kind).fit(as_float, data_of(kind)[1]), as_float), atol=1e-5)


@EVERY
def test_read_only_rows_are_welcome_and_nothing_is_written(kind):
    rows, y = (part.copy() for part in data_of(kind))
    for part in (rows, y):
        part.flags.writeable = False
    model = short(kind).fit(rows, y)
    np.testing.assert_array_equal(answers(model, rows), answers(fitted(kind), rows))


def test_names_of_columns_are_remembered_and_their_order_counts():
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = short(BNMLPClassifier).fit(frame, Y)
    assert model.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="must be in the same order"):
        model.predict(frame[list("dcba")])
    with pytest.raises(ValueError, match="unseen at fit time"):
        model.predict(frame.rename(columns={"a": "z"}))


@EVERY
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_precision_is_the_one_asked_for(kind, dtype):
    model = fitted(kind, dtype=dtype)
    assert {p.dtype for p in model.net_.module_.parameters()} == {getattr(torch, dtype)}
    assert answers(model, data_of(kind)[0]).dtype == np.float64


@EVERY
def test_float64_is_another_training_than_float32_and_nearly_the_same(kind):
    rows = data_of(kind)[0].astype(np.float64)
    params = {"batch_size": N, "max_epochs": 1, "lr": 1e-3}
    single, double = (answers(fitted(kind, dtype=dtype, **params), rows) for dtype in ("float32", "float64"))
    assert 0 < np.abs(single - double).max() < 1e-3


@EVERY
def test_on_the_processor(kind):
    model = fitted(kind, device="cpu")
    assert {p.device.type for p in model.net_.module_.parameters()} == {"cpu"}
    if not torch.cuda.is_available():
        np.testing.assert_array_equal(answers(model, data_of(kind)[0]), answers(fitted(kind), data_of(kind)[0]))


@EVERY
@pytest.mark.parametrize(
    ("bad", "match"), [(np.nan, "contains NaN"), (np.inf, "contains infinity"), (-np.inf, "contains infinity")]
)
def test_missing_and_infinite_values_are_refused(kind, bad, match):
    rows, y = data_of(kind)
    spoiled = rows.astype(np.float64)
    spoiled[3, 2] = bad
    model = short(kind)
    for door in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=f"Input X {match}"):
            door(spoiled, y)
    assert not hasattr(model, "net_")
    with pytest.raises(ValueError, match=f"Input X {match}"):
        fitted(kind).predict(spoiled)
    if is_regressor(model):
        targets = y.copy()
        targets[3] = bad
        with pytest.raises(ValueError, match=f"Input y {match}"):
            model.fit(rows, targets)


@EVERY
def test_numbers_beyond_float32_are_refused_before_training(kind):
    rows, y = data_of(kind)
    large = rows.astype(np.float64)
    large[3, 2] = 1e39
    model = short(kind)
    with pytest.raises(ValueError, match=r"^X has values too large for float32; scale it, or set dtype='float64'\.$"):
        model.fit(large, y)
    assert not hasattr(model, "net_")
    assert np.isfinite(answers(short(kind, dtype="float64", lr=1e-6).fit(large, y), rows)).all()


@EVERY
def test_training_that_diverges_says_so(kind):
    rows, y = data_of(kind)
    with pytest.raises(
        ValueError, match=r"Training diverged: the loss of epoch \d+ is (nan|inf).* Use a smaller lr \(it is 1e\+30\)"
    ):
        short(kind, lr=1e30, optimizer="sgd", batch_norm=False, schedule="constant", max_epochs=20).fit(rows, y)


# --- few rows ------------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("n_rows", [2, 3, 5, 20])
@pytest.mark.parametrize("params", [{}, {"batch_size": 2}, {"batch_size": "auto", "n_members": "auto"}], ids=str)
def test_few_rows(kind, n_rows, params):
    rows, y = data_of(kind)
    model = short(kind, **params).fit(rows[:n_rows], y[:n_rows])
    assert np.isfinite(answers(model, rows)).all()


@EVERY
def test_one_row_is_refused(kind):
    rows, y = data_of(kind)
    with pytest.raises(ValueError, match="needs at least 2 rows to learn from; got n_samples = 1"):
        short(kind).fit(rows[:1], y[:1])


@settings(max_examples=69, deadline=None)
@given(st.integers(2, 70), st.sampled_from([2, 3, 7, 32]))
def test_no_batch_is_too_small_whatever_the_number_of_rows(n_rows, batch_size):
    rows, y = np.resize(X, (n_rows, 4)), np.resize(Y, n_rows)
    sizes = []

    class Watches(nn.Module):
        def __init__(self, n_features, n_outputs):
            super().__init__()
            self.network = BNMLP(n_features, n_outputs, (3,))

        def forward(self, x):
            if self.training:
                sizes.append(len(x))
            return self.network(x)

    short(BNMLPClassifier, max_epochs=2, batch_size=batch_size, module=Watches).fit(rows, y)
    assert sum(sizes) == 2 * n_rows
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1
    packed = short(BNMLPClassifier, max_epochs=1, batch_size=batch_size).fit(rows, y)
    assert np.isfinite(packed.predict_proba(rows)).all()


@pytest.mark.parametrize("n_rows", range(2, 71))
def test_batches_of_32_for_every_number_of_rows(n_rows):
    rows, y = np.resize(X, (n_rows, 4)), np.resize(VALUES, n_rows)
    model = BNMLPRegressor((3,), n_members=1, max_epochs=1, batch_size=32, lr=0.01, random_state=0).fit(rows, y)
    assert np.isfinite(model.predict(rows)).all()


# --- what "auto" is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MLPS)
@pytest.mark.parametrize(("n_rows", "expected"), [(60, 5), (10_000, 5), (10_001, 3)])
def test_small_tables_get_five_members_and_large_ones_three(kind, n_rows, expected):
    rows, y = np.resize(X, (n_rows, 4)), np.resize(Y, n_rows)
    model = kind((2,), n_members="auto", max_epochs=1, batch_size=1024, lr=0.01, random_state=0).fit(rows, y)
    assert len(members(model)) == expected


@pytest.mark.parametrize("kind", MLPS)
def test_snapshots_are_members_enough(kind):
    assert len(members(fitted(kind, n_members="auto", snapshots=3))) == 3


@pytest.mark.parametrize("kind", CNNS)
def test_one_network_of_images_is_enough(kind):
    assert len(members(fitted(kind, n_members="auto"))) == 1


@EVERY
def test_batches_grow_with_the_rows_in_powers_of_two(kind):
    """So that the folds of a stack, of nearly the same length, have the same."""
    sizes = [
        short(kind, batch_size="auto")._recipe(n, stops=False).batch_size
        for n in np.geomspace(2, 10**6, 300).astype(int)
    ]
    assert all(math.log2(size).is_integer() for size in sizes)
    assert sizes == sorted(sizes)
    least, most = (32, 512) if kind in MLPS else (16, 128)
    assert (sizes[0], sizes[-1]) == (least, most)


# --- images: layouts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CNNS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int32])
def test_the_same_images_in_any_layout(kind, dtype):
    _, y = data_of(kind)
    images = BYTES.astype(dtype)
    layouts = [
        (images, None),
        (images[:, None], None),
        (images.reshape(N, 36), None),
        (images.reshape(N, 36), (6, 6)),
        (images.reshape(N, 36), (1, 6, 6)),
        (images.reshape(N, 36), [6, 6]),
        (images.transpose(0, 2, 1).copy().transpose(0, 2, 1), None),
    ]
    found = []
    for rows, image_shape in layouts:
        model = short(kind, image_shape=image_shape).fit(rows, y)
        assert model.image_shape_ == (1, 6, 6)
        assert model.n_features_in_ == rows.shape[1]
        found.append(answers(model, rows))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("kind", CNNS)
def test_bytes_and_floats_are_the_same_images(kind):
    as_bytes = fitted(kind)
    _, y = data_of(kind)
    for dtype in (np.float32, np.float64, np.int16):
        model = short(kind).fit(BYTES.astype(dtype), y)
        np.testing.assert_allclose(answers(model, BYTES.astype(dtype)), answers(as_bytes, BYTES), atol=1e-5)
        np.testing.assert_allclose(answers(as_bytes, BYTES.astype(dtype)), answers(as_bytes, BYTES), atol=1e-5)


@pytest.mark.parametrize("kind", CNNS)
def test_the_scale_of_pixels_is_without_effect(kind):
    _, y = data_of(kind)
    plain = answers(short(kind, dtype="float64").fit(BYTES, y), BYTES)
    scaled = BYTES / 255 - 0.5
    np.testing.assert_allclose(answers(short(kind, dtype="float64").fit(scaled, y), scaled), plain, atol=1e-9)


@pytest.mark.parametrize("kind", CNNS)
def test_each_colour_has_its_own_scale(kind):
    _, y = data_of(kind)
    colours = COLOURS * np.array([1.0, 0.01, 100.0])[:, None, None] + np.array([0.0, 5.0, -300.0])[:, None, None]
    model = short(kind).fit(colours, y)
    assert model.image_shape_ == (3, 6, 5)
    mean, scale = model.net_.module_.input_affine
    np.testing.assert_allclose(mean, colours.mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(scale, colours.std(axis=(0, 2, 3)), rtol=1e-5)
    exact = short(kind, dtype="float64").fit(COLOURS, y)
    other = short(kind, dtype="float64").fit(colours, y)
    np.testing.assert_allclose(answers(other, colours), answers(exact, COLOURS), atol=1e-9)
    flat = short(kind, dtype="float64", image_shape=(3, 6, 5)).fit(COLOURS.reshape(N, -1), y)
    np.testing.assert_array_equal(answers(flat, COLOURS.reshape(N, -1)), answers(exact, COLOURS))


@pytest.mark.parametrize("pixels", [BYTES, np.resize(BYTES, (2500, 6, 6)), np.full((20, 6, 6), 7.0)])
def test_the_scale_is_summed_up_in_parts(pixels):
    model = BNCNNRegressor(**PLAIN | {"max_epochs": 1, "preset": None, "blocks": [ConvBlock(1, stride=6)]})
    model.fit(pixels, np.arange(len(pixels)))
    mean, scale = model.net_.module_.input_affine.numpy()
    np.testing.assert_allclose(mean, pixels.mean(), rtol=1e-5)
    np.testing.assert_allclose(scale, pixels.std() or 1.0, rtol=1e-5)


def test_a_row_that_is_no_square_is_a_line_of_pixels():
    model = BNCNNClassifier(**PLAIN).fit(X[:, :3], Y)
    assert model.image_shape_ == (1, 1, 3)
    frame = pd.DataFrame(BYTES.reshape(N, 36)).rename(columns="pixel{}".format)
    model = BNCNNClassifier(**PLAIN).fit(frame, Y)
    assert model.image_shape_ == (1, 6, 6)
    assert model.feature_names_in_[35] == "pixel35"


@pytest.mark.parametrize("image_shape", [(5, 5), (6, 7), (2, 6, 6), (36,), (1, 1, 6, 6)])
def test_an_image_shape_must_fit_the_columns(image_shape):
    match = (
        r"The 'image_shape' parameter must be \(height, width\) or \(channels, height, width\) with a product of 36, "
        rf"the columns of X; got {re.escape(repr(image_shape))}\."
    )
    with pytest.raises(ValueError, match=match):
        BNCNNClassifier(**PLAIN, image_shape=image_shape).fit(BYTES.reshape(N, 36), Y)


@pytest.mark.parametrize("rows", [BYTES[:, None, None], np.zeros((N, 1, 1, 6, 6))])
def test_other_dimensions_are_no_images(rows):
    with pytest.raises(ValueError, match=r"X must hold images as .* or flat; got an array of 5 dimensions\."):
        BNCNNClassifier(**PLAIN).fit(rows, Y)


@pytest.mark.parametrize(
    ("first", "later", "match"),
    [
        (BYTES, BYTES[:, :, :5], r"of the shape \(1, 6, 6\) \(channels, height, width\), as in fit; got \(1, 6, 5\)"),
        (BYTES, BYTES[:, :5], "X has 5 features, but BNCNNClassifier is expecting 6"),
        (COLOURS, COLOURS[:, :, :, :4], r"of the shape \(3, 6, 5\) .* got \(3, 6, 4\)"),
        (COLOURS, COLOURS[:, :1], "X has 1 features, but BNCNNClassifier is expecting 3"),
        (BYTES.reshape(N, 36), BYTES.reshape(N, 36)[:, :25], "X has 25 features, but BNCNNClassifier is expecting 36"),
    ],
)
def test_images_of_another_shape_are_refused(first, later, match):
    model = BNCNNClassifier(**PLAIN).fit(first, Y)
    for door in (model.predict, model.predict_proba):
        with pytest.raises(ValueError, match=match):
            door(later)
    with pytest.raises(ValueError, match=match):
        model.partial_fit(later, Y)


@pytest.mark.parametrize("kind", CNNS)
def test_predictions_do_not_depend_on_how_many_images_come_at_once(kind):
    model = fitted(kind)
    many = np.resize(BYTES, (300, 6, 6)).astype(np.float64)
    np.testing.assert_allclose(answers(model, many)[-7:], answers(model, many[-7:]), atol=1e-12)


def test_predictions_do_not_depend_on_how_many_rows_come_at_once():
    model = fitted(BNMLPRegressor)
    many = np.resize(X, (5000, 4))
    np.testing.assert_allclose(answers(model, many)[-7:], answers(model, many[-7:]), atol=1e-12)


def test_predictions_do_not_depend_on_where_the_rows_lie_in_memory():
    model = fitted(BNMLPClassifier)
    rows = X.astype(np.float32)
    expected = model.predict_proba(rows)
    memory = np.zeros(4 * N + 16, dtype=np.float32)
    for start in range(16):
        moved = memory[start : start + 4 * N].reshape(N, 4)
        moved[:] = rows
        np.testing.assert_array_equal(model.predict_proba(moved), expected)


# --- images: networks ------------------------------------------------------------------------------------------


def test_the_reference_network():
    images = RNG.integers(0, 256, (12, 28, 28)).astype(np.uint8)
    model = BNCNNClassifier("reference", n_members=1, max_epochs=1, random_state=0).fit(images, np.arange(12) % 10)
    network = members(model)[0]
    convolutions = [layer for layer in network.features if isinstance(layer, nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size, c.padding, c.bias) for c in convolutions] == [
        (32, (3, 3), (0, 0), None)
    ] * 2
    assert network.head.linears[0].weight.shape == (128, 32 * 12 * 12)
    assert network.head.output.weight.shape == (10, 128)
    recipe = model._recipe(60_000, stops=False)
    assert (recipe.batch_size, recipe.lr, recipe.schedule, recipe.optimizer) == (32, 1e-3, "constant", "adam")
    assert BNCNNClassifier("reference")._recipe(60_000, stops=False).max_epochs == 10


def test_the_large_network():
    """Seven times the multiplications of the fast one, on an image of MNIST."""
    images, work = RNG.integers(0, 256, (12, 28, 28)).astype(np.uint8), {}
    for preset in ("fast", "large"):
        model = BNCNNClassifier(preset, max_epochs=1, random_state=0).fit(images, np.arange(12) % 10)
        network, work[preset] = members(model)[0], []
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(
                    lambda layer, _, out, done=work[preset]: done.append(layer.weight.numel() * out[0, 0].numel())
                )
        model.predict(images)
    assert len(work["large"]) == 5 + 2
    assert 6 < sum(work["large"]) / sum(work["fast"]) < 8


def test_what_is_given_comes_before_the_preset():
    given_ = {"max_epochs": 2, "batch_size": 7, "lr": 0.3, "schedule": "one-cycle", "optimizer": "sgd"}
    for preset in ("fast", "large", "reference"):
        recipe = BNCNNClassifier(preset, **given_)._recipe(100, stops=False)
        assert {name: getattr(recipe, name) for name in given_} == given_


@pytest.mark.parametrize("kind", CNNS)
def test_blocks_of_ones_own(kind):
    blocks = [ConvBlock(4, kernel_size=5, stride=2), ConvBlock(6, padding=0, pool="max")]
    model = fitted(kind, preset=None, blocks=blocks, hidden_layer_sizes=(7,))
    network = members(model)[0]
    assert [c.out_channels for c in network.features if isinstance(c, nn.Conv2d)] == [4, 6]
    assert [linear.out_features for linear in network.head.linears] == [7]
    assert not members(fitted(kind, preset=None, blocks=blocks))[0].head.linears


@pytest.mark.parametrize("kind", CNNS)
@pytest.mark.parametrize(
    ("params", "match"),
    [
        (
            {"preset": "fsat"},
            r"The 'preset' parameter of {} must be one of 'reference', 'fast', 'large', None; .* Did you mean 'fast'\?",
        ),
        ({"preset": None}, r"{} with preset=None needs 'blocks', a list of ConvBlock; got blocks=None\."),
        ({"preset": None, "blocks": []}, r"{} with preset=None needs 'blocks', a list of ConvBlock; got blocks=\[\]\."),
        ({"blocks": [ConvBlock(2)]}, r"{} takes a preset or blocks, not both; set preset=None to use your blocks\."),
        (
            {"augment": "shfit"},
            r"The 'augment' parameter of {} must be one of 'shift', 'affine', 'elastic', None; got 'shfit'\. Did you",
        ),
    ],
)
def test_presets_blocks_and_distortions_are_checked(kind, params, match):
    model = kind(**SHORT | params)
    with pytest.raises(ValueError, match=match.format(kind.__name__)):
        model.fit(*data_of(kind))
    assert not hasattr(model, "net_")


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"preset": None, "blocks": [3]}, "blocks"),
        ({"image_shape": 36}, "image_shape"),
        ({"preset": "reference"}, "preset"),
    ],
)
def test_networks_that_cannot_be(params, name):
    with pytest.raises(ValueError, match=name):
        BNCNNClassifier(**PLAIN | params).fit(BYTES[:, :4, :4].reshape(N, 16), Y)


@pytest.mark.parametrize("kind", CNNS)
def test_images_of_a_few_pixels(kind):
    _, y = data_of(kind)
    for shape in [(1, 1), (1, 5), (2, 2), (3, 1)]:
        tiny = RNG.normal(size=(N, *shape))
        assert np.isfinite(answers(short(kind).fit(tiny, y), tiny)).all()


# --- images: distortions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("shift", Augmentation(shift=2)),
        ("affine", Augmentation(shift=2, rotate=10, scale=0.1)),
        ("elastic", Augmentation(shift=2, rotate=10, scale=0.1, elastic=1.0)),
    ],
)
def test_distortions_by_name_and_as_they_are(name, same):
    by_name, by_hand, plain = (
        BNCNNClassifier(**PLAIN, augment=augment).fit(BYTES, Y).predict_proba(BYTES) for augment in (name, same, None)
    )
    np.testing.assert_array_equal(by_name, by_hand)
    assert np.abs(by_name - plain).max() > 1e-3


@pytest.mark.parametrize(
    ("params", "same"),
    [
        ({"cutout": 2}, Augmentation(cutout=2)),
        ({"augment": "shift", "cutout": np.int64(3)}, Augmentation(shift=2, cutout=3)),
        ({"augment": Augmentation(rotate=5, cutout=4), "cutout": 2}, Augmentation(rotate=5, cutout=2)),
        ({"augment": Augmentation(cutout=2)}, Augmentation(cutout=2)),
        ({"augment": "affine"}, Augmentation(shift=2, rotate=10, scale=0.1)),
    ],
)
def test_squares_are_cut_out_after_all_other_distortions(params, same):
    assert BNCNNClassifier(**params)._recipe(100, stops=False).augment == same


def test_a_cut_out_is_heeded():
    cut, plain = (BNCNNClassifier(**PLAIN, cutout=side).fit(BYTES, Y).predict_proba(BYTES) for side in (3, None))
    assert np.abs(cut - plain).max() > 1e-3


@pytest.mark.parametrize("kind", CNNS)
@pytest.mark.parametrize("batch_stats", ["population", "running"])
def test_an_average_of_no_memory_is_the_last_step(kind, batch_stats):
    last, none, long = (
        answers(fitted(kind, ema_decay=decay, batch_stats=batch_stats), BYTES) for decay in (None, 0.0, 0.9)
    )
    np.testing.assert_array_equal(none, last)
    assert np.abs(long - last).max() > 1e-3


def test_distortions_act_in_training_alone(monkeypatch):
    calls = []
    distort = Augmentation.__call__

    def spy(self, images, generator):
        calls.append(len(images))
        return distort(self, images, generator)

    monkeypatch.setattr(Augmentation, "__call__", spy)
    model = BNCNNClassifier(**PLAIN, augment="shift", early_stopping=True, validation_fraction=0.3).fit(BYTES, Y)
    assert sum(calls) == 3 * 42
    model.predict(BYTES)
    assert sum(calls) == 3 * 42


@pytest.mark.parametrize("kind", CNNS)
def test_test_shifts_are_the_mean_over_five_views(kind):
    plain, shifted = (fitted(kind, test_shifts=flag) for flag in (False, True))
    wide = np.pad(BYTES.astype(np.float64), [(0, 0), (1, 1), (1, 1)], mode="edge")
    views = [wide[:, 1 + i : 7 + i, 1 + j : 7 + j] for i, j in [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]]
    by_hand = np.mean([answers(plain, view) for view in views], axis=0)
    np.testing.assert_allclose(answers(shifted, BYTES.astype(np.float64)), by_hand, atol=1e-6)
    assert np.abs(by_hand - answers(plain, BYTES)).max() > 1e-4


# --- images: half precision ---------------------------------------------------------------------------------------


def with_bfloat16(monkeypatch, has):
    monkeypatch.setattr("stackkit.nn._kinds.has_bfloat16", lambda: has)


def test_half_precision_where_the_processor_has_it_unless_it_is_switched_off(monkeypatch):
    found = {}
    for has in (True, False):
        with_bfloat16(monkeypatch, has)
        for precision in ("auto", "float32", "bfloat16"):
            model = BNCNNClassifier(**PLAIN | {"precision": precision}).fit(BYTES, Y)
            found[has, precision] = model.predict_proba(BYTES)
    for same in [(False, "float32"), (False, "auto")]:
        np.testing.assert_array_equal(found[same], found[True, "float32"])
    for same in [(False, "bfloat16"), (True, "auto")]:
        np.testing.assert_array_equal(found[same], found[True, "bfloat16"])
    assert 1e-5 < np.abs(found[True, "auto"] - found[True, "float32"]).max() < 0.2


def test_double_precision_is_never_halved(monkeypatch):
    with_bfloat16(monkeypatch, has=True)
    model = BNCNNClassifier(**PLAIN | {"precision": "auto"}, dtype="float64")
    plain = BNCNNClassifier(**PLAIN, dtype="float64")
    np.testing.assert_array_equal(model.fit(BYTES, Y).predict_proba(BYTES), plain.fit(BYTES, Y).predict_proba(BYTES))


# --- modules of one's own -------------------------------------------------------------------------------------------


def relu_net(shape, n_outputs):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(np.atleast_1d(shape)), 6), nn.ReLU(), nn.Linear(6, n_outputs)
    )


@EVERY
@pytest.mark.parametrize(
    "module", [Drops, partial(Drops, width=5, rate=0.1), relu_net], ids=["class", "partial", "function"]
)
def test_modules_are_made_from_the_shape_of_a_row_and_the_number_of_outputs(kind, module):
    rows, _ = data_of(kind)
    model = fitted(kind, module=module, n_members=2)
    first, *_, last = (layer for layer in members(model)[0].modules() if isinstance(layer, nn.Linear))
    assert first.in_features == rows[0].size
    assert last.out_features == (3 if is_classifier(model) else 1)
    assert answers(model, rows).shape == ((N, 3) if is_classifier(model) else (N,))
    assert clone(model).module.__class__ is model.module.__class__


def test_images_come_to_a_module_with_their_channels():
    shapes = []

    def module(shape, n_outputs):
        shapes.append(shape)
        return relu_net(shape, n_outputs)

    BNCNNClassifier(**PLAIN, module=module).fit(COLOURS, Y)
    BNCNNClassifier(**PLAIN, module=module, preset=None).fit(BYTES, Y)
    assert shapes == [(3, 6, 5), (1, 6, 6)]


def test_a_module_learns_as_the_built_in_network_does():
    """The same network, one packed with gradients by hand, one alone by autograd."""
    params = SHORT | {"dtype": "float64", "n_members": 2, "early_stopping": False}
    params |= {"scaling": None, "num_embedding": None, "front_scale": False, "dropout": 0.0}
    network = partial(BNMLP, hidden_layer_sizes=(8,), activation="tanh")
    own = BNMLPClassifier(module=lambda n, c: nn.Sequential(network(n, c)), **params).fit(X, Y3)
    built_in = BNMLPClassifier((8,), activation="tanh", **params).fit(X, Y3)
    np.testing.assert_allclose(own.predict_proba(X), built_in.predict_proba(X), atol=1e-9)


class Louder(BNMLP):
    def forward(self, x):
        return 10 * super().forward(x)


def test_a_subclass_of_the_built_in_network_is_a_module_of_ones_own():
    params = SHORT | {"dtype": "float64"}
    subclass = BNMLPClassifier(module=Louder, **params).fit(X, Y)
    same = BNMLPClassifier(module=lambda n, c: nn.Sequential(Louder(n, c)), **params).fit(X, Y)
    np.testing.assert_allclose(subclass.predict_proba(X), same.predict_proba(X), atol=1e-9)


def test_parameters_of_the_built_in_network_are_without_effect_on_a_module():
    plain = BNMLPClassifier(module=relu_net, **SHORT).fit(X, Y).predict_proba(X)
    shaped = BNMLPClassifier((3,), module=relu_net, activation="tanh", batch_norm=False, dropout=0.9, **SHORT)
    np.testing.assert_array_equal(shaped.fit(X, Y).predict_proba(X), plain)


def test_a_module_with_batch_normalization_gets_population_statistics_too():
    params = SHORT | {"dtype": "float64", "batch_size": N}
    model = BNMLPClassifier(module=partial(Layers, batch_norm=True), **params).fit(X, Y)
    network = members(model)[0]
    hidden = X @ network.first.weight.detach().numpy().T + network.first.bias.detach().numpy()
    np.testing.assert_allclose(network.norm.running_mean, hidden.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(network.norm.running_var, hidden.var(axis=0, ddof=1), rtol=1e-9)
    assert network.norm.momentum == 0.1


@EVERY
def test_a_module_must_give_as_many_outputs_as_asked_for(kind):
    n_outputs = 3 if is_classifier(kind()) else 1
    match = (
        rf"The module must give {n_outputs} outputs per row, shape \(15, {n_outputs}\); Drops gave the shape \(15, 7\)"
    )
    with pytest.raises(ValueError, match=match):
        short(kind, module=lambda shape, _: Drops(shape, 7), batch_size=15).fit(*data_of(kind))


def test_folds_go_together_for_the_built_in_table_networks_alone():
    for kind in MLPS:
        assert hasattr(kind(), "fit_folds")
        assert not hasattr(kind(module=Drops), "fit_folds")
        assert hasattr(kind(module=Drops).set_params(module=None), "fit_folds")
    for kind in CNNS:
        assert not hasattr(kind(), "fit_folds")


# --- shape of the network -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(), (3,), [4, 5], (6, 5, 4), np.array([3, 2])])
@pytest.mark.parametrize("kind", MLPS)
def test_hidden_layers(kind, sizes):
    rows, y = data_of(kind)
    model = kind(sizes, **SHORT).fit(rows, y)
    assert [layer.out_features for layer in members(model)[0].linears] == list(sizes)
    assert np.isfinite(answers(model, rows)).all()


@EVERY
@pytest.mark.parametrize(("batch_norm", "bias"), [(True, False), (False, True)])
def test_a_layer_has_batch_normalization_or_a_bias(kind, batch_norm, bias):
    network = members(fitted(kind, batch_norm=batch_norm))[0]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert bool(norms) == batch_norm
    before = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)][:-1]
    assert {layer.bias is not None for layer in before} == {bias}


@EVERY
@pytest.mark.parametrize(
    "params",
    [{"activation": name} for name in ("tanh", "sigmoid", "selu", "silu", "mish")] + [{"dropout": 0.5}],
    ids=str,
)
def test_activation_and_dropout_are_heeded(kind, params):
    if kind in CNNS:
        params = params | {"hidden_layer_sizes": (8,)}
    rows, _ = data_of(kind)
    plain = {"hidden_layer_sizes": (8,)} if kind in CNNS else {}
    assert np.abs(answers(fitted(kind, **params), rows) - answers(fitted(kind, **plain), rows)).max() > 1e-3


@pytest.mark.parametrize("kind", MLPS)
def test_batch_normalization_of_the_input_makes_up_for_scales(kind):
    """A factor of each column is without effect, but for the epsilon under the root."""
    rows, y = data_of(kind)
    factors = np.array([1.0, 1e3, 1e-1, 50.0])
    model = short(kind, input_batch_norm=True, dtype="float64", max_epochs=1, batch_size=N)
    model.set_params(scaling=None, num_embedding=None)
    plain = answers(clone(model).fit(rows, y), rows)
    np.testing.assert_allclose(answers(clone(model).fit(rows * factors, y), rows * factors), plain, atol=1e-2)
    without = clone(model).set_params(input_batch_norm=False)
    plain = answers(clone(without).fit(rows, y), rows)
    moved = answers(clone(without).fit(rows * factors, y), rows * factors)
    assert np.abs(moved - plain).max() > 0.02


def test_weight_decay_makes_matrices_smaller_and_leaves_the_rest():
    params = SHORT | {"schedule": "constant", "lr": 0.05, "optimizer": "sgd", "max_epochs": 1, "batch_size": N}
    params |= {"dtype": "float64", "batch_norm": False}
    start, plain, decayed = (
        members(BNMLPClassifier((8,), **params | more).fit(X, Y))[0].state_dict()
        for more in ({"lr": 0.0}, {}, {"weight_decay": 0.5})
    )
    for name, weight in plain.items():
        # One step of gradient descent with Nesterov's momentum, where the decay is a part of the gradient.
        expected = weight - 0.05 * 1.9 * 0.5 * start[name] if weight.ndim == 2 else weight
        np.testing.assert_allclose(decayed[name], expected, atol=1e-12)


@pytest.mark.parametrize("kind", [BNMLPClassifier, BNCNNClassifier])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "muon", torch.optim.RMSprop])
def test_every_optimizer_learns(kind, optimizer):
    rows = StandardScaler().fit_transform(X) if kind is BNMLPClassifier else BYTES
    rate = 0.1 if optimizer == "sgd" else 0.01
    model = short(kind, optimizer=optimizer, max_epochs=25, lr=rate).fit(rows, Y)
    assert model.score(rows, Y) > 0.85
    assert model.loss_curve_[-1] < model.loss_curve_[0] / 1.5


def test_kinds_and_tags():
    for kind in (BNMLPClassifier, BNCNNClassifier):
        assert is_classifier(kind())
    for kind in (BNMLPRegressor, BNCNNRegressor):
        assert is_regressor(kind())
        assert kind().__sklearn_tags__().target_tags.multi_output
    for kind in CNNS:
        assert kind().__sklearn_tags__().input_tags.three_d_array


@EVERY
def test_parameters_can_be_read_and_set(kind):
    model = kind()
    for name, value in model.get_params().items():
        assert getattr(model, name) is value
    marks = {name: object() for name in model.get_params()}
    model.set_params(**marks)
    assert model.get_params(deep=False) == marks
    assert isinstance(fitted(kind).net_.module_, Average)
    assert BNCNN in type(members(fitted(kind))[0]).__mro__ or kind in MLPS


@pytest.mark.parametrize("kind", MLPS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"batch_norm": False},
        {"input_batch_norm": True},
        {"input_batch_norm": True, "batch_norm": False},
        {"batch_stats": "running"},
        {"input_batch_norm": True, "batch_stats": "running"},
        {"hidden_layer_sizes": ()},
        {"n_members": 3, "dropout": 0.3},
        {"snapshots": 3},
        {"early_stopping": True, "max_epochs": 8, "n_iter_no_change": 1},
        {"weight_decay": 0.3},
        {"optimizer": "sgd"},
        {"optimizer": "muon", "hidden_layer_sizes": (8, 8)},
        {"optimizer": torch.optim.RMSprop},
    ],
    ids=str,
)
def test_a_feature_that_never_changed_has_no_say(kind, dtype, params):
    """Neither with what it held in training nor with what it holds in new rows, to the last bit."""
    _, y = data_of(kind)
    predictions = []
    for value in (0.0, 1.0, 0.1, -3e3):
        model = short(kind, dtype=dtype).set_params(**params).fit(np.column_stack([X, np.full(N, value)]), y)
        predictions += [answers(model, np.column_stack([X, other])) for other in (np.full(N, value), 1e5 * VALUES)]
    for found in predictions:
        np.testing.assert_array_equal(found, predictions[0])


@pytest.mark.parametrize("kind", MLPS)
def test_a_feature_that_never_changes_in_the_networks_precision_has_no_say(kind):
    _, y = data_of(kind)
    rows = np.column_stack([X, 1e9 + RNG.uniform(size=N)])
    model = short(kind).fit(rows, y)
    np.testing.assert_array_equal(answers(model, np.column_stack([X, VALUES])), answers(model, rows))


def test_a_module_sees_features_that_never_change():
    """What it makes of them is its own matter: here, the shares of the classes."""
    params = SHORT | {"batch_size": N, "lr": 0.1, "max_epochs": 100}
    model = BNMLPClassifier(module=partial(nn.Linear, bias=False), **params).fit(np.ones((N, 1)), Y3)
    np.testing.assert_allclose(model.predict_proba([[1.0]])[0], np.bincount(Y3) / N, atol=0.01)


@pytest.mark.parametrize("kind", [BNMLPClassifier, BNMLPRegressor, BNCNNClassifier, BNCNNRegressor])
def test_each_parameter_has_its_entry_in_the_docstring(kind):
    """Most of them are written once for all estimators."""
    entries = re.findall(r"(?m)^    (\w+) : ", kind.__doc__)
    parameters = list(inspect.signature(kind).parameters)
    assert entries[: len(parameters)] == parameters
    assert not re.findall(r"\{\w+\}", kind.__doc__)
    assert "    Attributes\n    ----------\n" in kind.__doc__
