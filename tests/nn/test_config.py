import math
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from stackkit.nn._config import Recipe, loss_of

each_schedule = pytest.mark.parametrize("schedule", ["constant", "one-cycle", "cosine", "flat-cosine", "coslog4"])


def recipe(**settings):
    return Recipe(**({"classifier": True, "max_epochs": 10, "batch_size": 8, "lr": 0.2} | settings))


# --- the learning rate --------------------------------------------------------------------------------------


@given(st.floats(0, 10, exclude_max=True))
def test_a_constant_rate_is_the_rate(epochs):
    assert recipe(schedule="constant").rate(epochs) == 0.2


def test_one_cycle_climbs_from_a_tenth_to_the_rate_and_falls_to_almost_nothing():
    one = recipe(schedule="one-cycle")
    rates = [one.rate(i / 100) for i in range(1000)]
    top = rates.index(max(rates))
    assert top == 300
    assert rates[0] == pytest.approx(0.02)
    assert rates[top] == pytest.approx(0.2)
    assert all(a < b for a, b in pairwise(rates[: top + 1]))
    assert all(a >= b for a, b in pairwise(rates[top:]))
    assert one.rate(1.5) == pytest.approx((0.02 + 0.2) / 2)  # half way up, along a line
    assert one.rate(6.5) == pytest.approx(0.1)  # half way down, along a cosine
    assert rates[-1] == pytest.approx(0.2e-3)  # never zero: the last steps count too
    assert max(abs(a - b) for a, b in pairwise(rates)) < 0.001  # no jump


@pytest.mark.parametrize("cycles", [1, 2, 5])
def test_cosine_is_torchs_with_warm_restarts(cycles):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.2)
    expected = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=10 // cycles)
    ours = recipe(schedule="cosine", cycles=cycles)
    for i in range(80):
        expected.step(i / 8)
        assert ours.rate(i / 8) == pytest.approx(expected.get_last_lr()[0], abs=1e-12)


def test_flat_cosine_is_the_rate_for_half_of_the_training_and_then_falls_along_a_cosine_to_zero():
    ours = recipe(schedule="flat-cosine")
    assert [ours.rate(epochs) for epochs in (0, 1.5, 4.999, 5)] == [0.2] * 4
    assert [ours.rate(epochs) for epochs in (6, 7.5, 9, 10 - 1e-9)] == pytest.approx(
        [0.1 * (1 + math.cos(math.pi / 5)), 0.1, 0.1 * (1 - math.cos(math.pi / 5)), 0], abs=1e-12
    )


def test_coslog4_has_four_cycles_of_which_each_is_twice_as_long_as_the_one_before():
    ours, ends = recipe(schedule="coslog4", max_epochs=15), [0, 1, 3, 7, 15]
    for start, end in pairwise(ends):
        top = (start + 1) * math.sqrt(2) - 1  # half way in the logarithm
        assert ours.rate(start) == pytest.approx(0, abs=1e-12)
        assert ours.rate(top) == pytest.approx(0.2)
        for epochs in (start + 0.1, (start + end) / 2, end - 0.1):
            assert ours.rate(epochs) == pytest.approx(0.2 * math.sin(math.pi * math.log2(1 + epochs)) ** 2)
    assert ours.rate(15 - 1e-9) == pytest.approx(0, abs=1e-12)


@settings(deadline=None)
@given(max_epochs=st.integers(1, 60), cycles=st.integers(1, 60))
def test_cycles_share_the_epochs_evenly_and_the_last_one_ends_with_them(max_epochs, cycles):
    assume(cycles <= max_epochs)
    ends = recipe(max_epochs=max_epochs, cycles=cycles).cycle_ends
    lengths = [end - start for start, end in pairwise([0, *ends])]
    assert len(ends) == cycles
    assert ends[-1] == max_epochs
    assert min(lengths) >= 1
    assert max(lengths) - min(lengths) <= 1


@settings(deadline=None)
@given(max_epochs=st.integers(1, 60), cycles=st.integers(1, 60))
def test_each_cosine_starts_at_the_rate_and_ends_at_zero_however_the_epochs_divide(max_epochs, cycles):
    assume(cycles <= max_epochs)
    ours = recipe(schedule="cosine", max_epochs=max_epochs, cycles=cycles)
    for start, end in pairwise([0, *ours.cycle_ends]):
        assert ours.rate(start) == 0.2
        assert ours.rate((start + end) / 2) == pytest.approx(0.1)
        assert ours.rate(end - 1e-4) < 1e-6


@each_schedule
@given(share=st.floats(0, 0.999), max_epochs=st.integers(1, 30))
def test_the_rate_is_never_above_the_one_asked_for_nor_negative(schedule, share, max_epochs):
    assert 0 <= recipe(schedule=schedule, max_epochs=max_epochs).rate(share * max_epochs) <= 0.2


# --- the loss -----------------------------------------------------------------------------------------------


def draws(n=7, c=3):
    generator = torch.Generator().manual_seed(0)
    output, values = torch.randn(2, n, c, generator=generator, dtype=torch.float64)
    return 3 * output, values, torch.arange(n) % c, torch.rand(n, generator=generator).double()


def test_loss_of_classes_is_torchs_cross_entropy():
    output, _, labels, _ = draws()
    found = loss_of(output, functional.one_hot(labels).double(), None, classifier=True)
    torch.testing.assert_close(found, functional.cross_entropy(output, labels))


def test_loss_of_values_is_torchs_mean_squared_error():
    output, values, _, _ = draws()
    found = loss_of(output, values, None, classifier=False)
    torch.testing.assert_close(found, functional.mse_loss(output, values))


@pytest.mark.parametrize("classifier", [True, False])
def test_weights_multiply_each_rows_loss_before_the_mean(classifier):
    output, values, labels, weight = draws()
    if classifier:
        losses = functional.cross_entropy(output, labels, reduction="none")
        target = functional.one_hot(labels).double()
    else:
        losses, target = ((output - values) ** 2).mean(1), values
    found = loss_of(output, target, weight, classifier=classifier)
    torch.testing.assert_close(found, (losses * weight).sum() / len(weight))
    ones = torch.ones_like(weight)
    torch.testing.assert_close(loss_of(output, target, ones, classifier=classifier), losses.mean())


def test_class_weights_as_row_weights_are_torchs_but_for_their_sum():
    output, _, labels, _ = draws()
    by_class = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    weight = by_class[labels]
    found = loss_of(output, functional.one_hot(labels).double(), weight / weight.mean(), classifier=True)
    torch.testing.assert_close(found, functional.cross_entropy(output, labels, weight=by_class))


def test_a_confident_mistake_has_a_large_but_finite_loss():
    loss = loss_of(torch.tensor([[1e4, 0.0]]), torch.tensor([[0.0, 1.0]]), None, classifier=True)
    assert float(loss) == 1e4


# --- the recipe ---------------------------------------------------------------------------------------------


def test_equal_recipes_are_one_key_and_unlike_ones_two():
    # the networks of learners with one recipe are trained together
    assert len({recipe(), recipe(), recipe(lr=0.1)}) == 2


def test_a_recipe_does_not_change():
    with pytest.raises(AttributeError):
        recipe().lr = 1.0
    assert math.isclose(recipe().lr, 0.2)
