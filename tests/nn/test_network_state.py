import numpy as np
import pytest
import torch
from lessons import make_mlp, make_pupil, make_table
from torch import nn

from stackkit.nn import _network_state as _pupil
from stackkit.nn._network_state import TrainingTable, load_state, state_of

# --- the table ----------------------------------------------------------------------------------------------


def test_a_mean_and_a_scale_of_the_users_targets_mean_the_same_in_the_table():
    user = np.array([[100.0, 2.0], [130.0, -4.0], [70.0, 9.0]])
    mean, scale = np.array([90.0, 1.0]), np.array([25.0, 3.0])
    table = TrainingTable(torch.zeros(3, 1), torch.from_numpy((user - mean) / scale), mean, scale)
    affine = user[:2].mean(0), user[:2].std(0)
    seen_mean, seen_scale = table.seen(affine)
    np.testing.assert_allclose((table.targets.numpy() - seen_mean) / seen_scale, (user - affine[0]) / affine[1])


def test_targets_as_they_are_leave_a_mean_and_a_scale_as_they_are():
    table = make_table()
    mean, scale = table.seen((np.array([3.0]), np.array([2.0])))
    assert (mean, scale) == (3.0, 2.0)


def test_inputs_and_targets_joined_are_made_once_and_hold_both():
    table = make_table(9, 4, 3)
    assert table.joined.shape == (9, 7)
    assert table.joined.is_contiguous()
    assert torch.equal(table.joined[:, :4], table.inputs)
    assert torch.equal(table.joined[:, 4:], table.targets)
    assert table.joined is table.joined


# --- rows and random numbers --------------------------------------------------------------------------------


def test_each_epoch_has_all_rows_of_its_own_part_in_a_new_order():
    network_state = make_pupil(nn.Linear(4, 3), make_table(), [3, 50, 7, 9, 11, 30])
    orders = [network_state.shuffled().tolist() for _ in range(3)]
    assert all(sorted(order) == [3, 7, 9, 11, 30, 50] for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def test_the_order_comes_from_its_own_generator_alone():
    network, table = nn.Linear(4, 3), make_table()
    before = torch.get_rng_state()
    alone, beside, other = (make_pupil(network, table, seed=seed) for seed in (1, 1, 2))
    for _ in range(3):
        other.shuffled()
        torch.rand(1, generator=beside.noise)
        assert torch.equal(alone.shuffled(), beside.shuffled())
    assert torch.equal(torch.get_rng_state(), before)


def test_final_statistics_are_taken_from_shuffled_rows_up_to_a_number(monkeypatch):
    network_state, same = (make_pupil(nn.Linear(4, 3), make_table(), range(10, 40)) for _ in range(2))
    assert sorted(network_state.sample().tolist()) == list(range(10, 40))
    monkeypatch.setattr(_pupil, "POPULATION_ROWS", 8)
    same.shuffled()
    expected = same.shuffled()[:8]
    assert torch.equal(network_state.sample(), expected)


def test_rows_to_validate_on_are_asked_for_in_vain_where_none_were_set_aside():
    with pytest.raises(ValueError, match="no rows were set aside"):
        _ = make_pupil(nn.Linear(4, 3), make_table()).valid_rows
    valid = torch.tensor([1, 2])
    assert make_pupil(nn.Linear(4, 3), make_table(), valid=valid).valid_rows is valid


def test_two_pupils_share_nothing_that_changes():
    first, second = (make_pupil(nn.Linear(4, 3), make_table()) for _ in range(2))
    for name in ("moments", "kept", "losses"):
        assert getattr(first, name) is not getattr(second, name)


# --- a network's state --------------------------------------------------------------------------------------


def test_a_state_is_parameters_and_then_running_statistics_without_counters():
    network = make_mlp(input_batch_norm=True)
    state = state_of(network)
    parameters = list(network.parameters())
    assert all(a is b for a, b in zip(state, parameters, strict=False))
    names = [name for name, buffer in network.named_buffers() if any(buffer is tensor for tensor in state)]
    assert len(state) == len(parameters) + len(names)
    assert {name.rpartition(".")[2] for name in names} == {"running_mean", "running_var"}
    assert len(names) == 2 * 3


def test_a_network_that_is_given_anothers_state_answers_like_it():
    first, second, x = make_mlp(seed=1), make_mlp(seed=2), make_table().inputs
    for _ in range(3):
        first(x)
    assert not torch.allclose(first.eval()(x), second.eval()(x))
    tensors = state_of(second)
    load_state(second, state_of(first))
    assert torch.equal(first.eval()(x), second.eval()(x))
    assert all(a is b for a, b in zip(state_of(second), tensors, strict=True))  # optimizers hold on to them
    assert all(parameter.requires_grad for parameter in second.parameters())


def test_a_state_that_was_loaded_does_not_change_when_the_network_learns_on():
    network, x = make_mlp(), make_table().inputs
    state = [tensor.detach().clone() for tensor in state_of(network)]
    before = [tensor.clone() for tensor in state]
    load_state(network, state)
    network(x).sum().backward()
    torch.optim.SGD(network.parameters(), lr=1.0).step()
    assert all(torch.equal(a, b) for a, b in zip(state, before, strict=True))


def test_a_state_that_is_not_whole_is_refused():
    network = make_mlp()
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        load_state(network, state_of(network)[:-1])
