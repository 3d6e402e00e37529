"""The average is what a list of all states gives, and the network does not notice it."""

import copy

import numpy as np
import pytest
import torch
from lessons import assert_same_state, make_mlp

from stackkit.nn._network_state import load_state, state_of
from stackkit.nn._weight_average import MovingAverage


def states(network, n_steps):
    """The network after each of some steps, changed in place by random amounts."""
    draws = torch.Generator().manual_seed(3)
    for _ in range(n_steps):
        with torch.no_grad():
            for tensor in state_of(network):
                tensor.add_(torch.randn(tensor.shape, generator=draws, dtype=tensor.dtype))
        yield [tensor.detach().clone().numpy() for tensor in state_of(network)]


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("n_steps", [1, 2, 7])
def test_each_step_counts_decay_times_the_one_after_it_and_the_first_weights_nothing(decay, n_steps):
    network = make_mlp()
    average, every = MovingAverage(network, decay), []
    for state in states(network, n_steps):
        average.update()
        every.append(state)
    weights = decay ** np.arange(n_steps - 1, -1, -1.0)
    for i, found in enumerate(average.state):
        expected = np.average([state[i] for state in every], axis=0, weights=weights)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_it_is_torchs_own_average_but_for_the_first_weights():
    """Torch starts with the first state and gives it the share that is left: with many steps, none."""
    network = make_mlp()
    theirs = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5), use_buffers=True
    )
    ours = MovingAverage(network, 0.5)
    for _ in states(network, 60):
        ours.update()
        theirs.update_parameters(network)
    for found, expected in zip(ours.state, state_of(theirs.module), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_the_network_holds_the_average_for_a_while_and_then_its_own_again():
    network = make_mlp()
    average = MovingAverage(network, 0.9)
    for _ in states(network, 3):
        average.update()
    before, averaged = copy.deepcopy(network), copy.deepcopy(network)
    load_state(averaged, average.state)
    with average.in_the_network():
        assert_same_state(network, averaged, 0)
        assert not torch.equal(network.norms[0].running_mean, before.norms[0].running_mean)
    assert_same_state(network, before, 0)
    with pytest.raises(KeyboardInterrupt), average.in_the_network():
        raise KeyboardInterrupt
    assert_same_state(network, before, 0)
