import numpy as np
import pytest
from numpy.testing import assert_array_equal

from stackkit.nn import BNCNNClassifier, BNCNNRegressor, BNMLPClassifier, ConvBlock
from stackkit.nn._batches import n_batches
from stackkit.nn._kinds import PRESETS, _as_images, _batch_size, _epochs, _flat_shape
from stackkit.nn._modules import BNCNN


@pytest.mark.parametrize("n_rows", [1, 20, 712, 2_000, 10_000, 48_000, 1_000_000])
def test_batches_are_powers_of_two_within_their_bounds(n_rows):
    size = _batch_size(n_rows, steps=64, least=32, most=512)
    assert size in {32, 64, 128, 256, 512}
    assert size in {32, 512} or 0.7 < n_rows / 64 / size < 1.5


@pytest.mark.parametrize("n_rows", [2, 20, 200, 320, 5000])
def test_few_rows_are_gone_through_often_enough_for_a_hundred_steps(n_rows):
    epochs, steps = _epochs(n_rows, 32, 10), n_batches(n_rows, 32)
    assert epochs * steps >= 100
    assert epochs == 10 or (epochs - 1) * steps < 100


def test_auto_settings_are_those_of_the_preset():
    recipe = BNCNNClassifier("reference")._recipe(60_000)
    assert (recipe.max_epochs, recipe.batch_size, recipe.lr, recipe.schedule) == (10, 32, 1e-3, "constant")
    assert BNCNNClassifier("reference", lr=0.5, optimizer="sgd")._recipe(60_000).lr == 0.5
    assert BNCNNClassifier()._recipe(60_000).batch_size == 128
    assert BNMLPClassifier()._recipe(712).batch_size == 32


@pytest.mark.parametrize(
    ("n_features", "given", "expected"),
    [
        (784, None, (1, 28, 28)),
        (7, None, (1, 1, 7)),
        (12, (3, 4), (1, 3, 4)),
        (12, [3, 2, 2], (3, 2, 2)),
    ],
)
def test_the_shape_of_flat_images(n_features, given, expected):
    assert _flat_shape(n_features, given) == expected


@pytest.mark.parametrize("given", [(5, 5), (12,), (1, 1, 3, 4), 12, "3x4"])
def test_shapes_that_do_not_fit_are_refused(given):
    with pytest.raises(ValueError, match=r"'image_shape' parameter must be .* with a product of 12, the columns of X"):
        _flat_shape(12, given)


def test_images_of_all_layouts_are_the_same_images():
    images = np.arange(2 * 3 * 4).reshape(2, 1, 3, 4)
    for layout in (images, images[:, 0], images.reshape(2, -1)):
        np.testing.assert_array_equal(_as_images(layout, (3, 4)), images)


def test_the_fast_preset_is_made_for_any_image():
    for shape in [(1, 28, 28), (3, 5, 9), (1, 1, 1)]:
        BNCNN(shape, 4, PRESETS["fast"]["blocks"])


def test_float64_rows_train_the_same_bits_as_float32_rows_of_the_same_numbers():
    X = np.random.default_rng(0).normal(size=(60, 9))  # with digits that float32 does not have
    y = X[:, 0] - X[:, 4]
    settings = {"preset": None, "blocks": [ConvBlock(4)], "max_epochs": 2, "random_state": 0}
    ours, same = (BNCNNRegressor(**settings).fit(rows, y) for rows in (X, X.astype(np.float32)))
    assert_array_equal(ours.predict(X.astype(np.float32)), same.predict(X.astype(np.float32)))
