import numpy as np
import pytest
from numpy.testing import assert_array_equal

from stackkit.nn import BNCNNClassifier, BNCNNRegressor, BNMLPClassifier, ConvBlock
from stackkit.nn._batches import n_batches
from stackkit.nn._kinds import PRESETS, _as_images, _batch_size, _flat_shape
from stackkit.nn._modules import BNCNN


@pytest.mark.parametrize("n_rows", [1, 20, 712, 2_000, 10_000, 48_000, 1_000_000])
def test_batches_are_powers_of_two_within_their_bounds(n_rows):
    size = _batch_size(n_rows, steps=64, least=32, most=512)
    assert size in {32, 64, 128, 256, 512}
    assert size in {32, 512} or 0.7 < n_rows / 64 / size < 1.5


@pytest.mark.parametrize("n_rows", [2, 20, 200, 320, 5000])
@pytest.mark.parametrize(("stops", "least", "least_steps"), [(False, 10, 100), (True, 60, 1000)])
def test_few_rows_are_gone_through_often_enough(n_rows, stops, least, least_steps):
    recipe = BNMLPClassifier()._recipe(n_rows, stops=stops)
    steps = n_batches(n_rows, recipe.batch_size)
    assert recipe.max_epochs * steps >= least_steps
    assert recipe.max_epochs == least or (recipe.max_epochs - 1) * steps < least_steps
    assert recipe.patience == (max(10, recipe.max_epochs // 6) if stops else None)


def test_when_rows_are_set_aside_to_stop_by():
    assert BNMLPClassifier()._stops(30, None)
    assert not BNMLPClassifier()._stops(29, None)
    assert BNMLPClassifier()._stops(100, np.arange(100) % 5)
    assert not BNMLPClassifier()._stops(100, np.arange(100) % 4)
    assert [BNMLPClassifier()._members(n, stops=True) for n in (30, 10_000, 10_001)] == [5, 5, 3]
    assert [BNMLPClassifier()._members(n, stops=False) for n in (30, 10_000, 10_001)] == [5, 5, 1]
    assert BNMLPClassifier()._recipe(10_000, stops=True).max_epochs == 60
    assert BNMLPClassifier()._recipe(20_000, stops=True).max_epochs == 30
    assert BNMLPClassifier()._recipe(10**6, stops=True).max_epochs == 20
    for other in ({"snapshots": 2}, {"warm_start": True}, {"module": BNCNN}, {"early_stopping": False}):
        assert not BNMLPClassifier(**other)._stops(1000, None)
    assert BNMLPClassifier(early_stopping=True, warm_start=True)._stops(5, None)
    assert not BNCNNClassifier()._stops(1000, None)


def test_auto_settings_are_those_of_the_preset():
    recipe = BNCNNClassifier("reference")._recipe(60_000, stops=False)
    assert (recipe.max_epochs, recipe.batch_size, recipe.lr, recipe.schedule) == (10, 32, 1e-3, "constant")
    assert BNCNNClassifier("reference", lr=0.5, optimizer="sgd")._recipe(60_000, stops=False).lr == 0.5
    assert BNCNNClassifier()._recipe(60_000, stops=False).batch_size == 128
    recipe = BNCNNClassifier("large")._recipe(60_000, stops=False)
    assert (recipe.max_epochs, recipe.batch_size, recipe.lr, recipe.schedule) == (10, 128, 0.02, "one-cycle")
    assert BNMLPClassifier()._recipe(712, stops=False).batch_size == 32


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


@pytest.mark.parametrize("preset", ["fast", "large"])
def test_these_presets_are_made_for_any_image(preset):
    for shape in [(1, 28, 28), (3, 5, 9), (1, 1, 1)]:
        BNCNN(shape, 4, PRESETS[preset]["blocks"])


def test_float64_rows_train_the_same_bits_as_float32_rows_of_the_same_numbers():
    X = np.random.default_rng(0).normal(size=(60, 9))  # with digits that float32 does not have
    y = X[:, 0] - X[:, 4]
    settings = {"preset": None, "blocks": [ConvBlock(4)], "max_epochs": 2, "random_state": 0}
    ours, same = (BNCNNRegressor(**settings).fit(rows, y) for rows in (X, X.astype(np.float32)))
    assert_array_equal(ours.predict(X.astype(np.float32)), same.predict(X.astype(np.float32)))
