from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stackkit.nn._batches import batch_sizes, n_batches, steps_of

rows = st.integers(2, 3000)


@settings(max_examples=200, deadline=None)
@given(n=rows, batch_size=st.integers(1, 600))
def test_batches_are_even_hold_every_row_once_and_never_a_single_one(n, batch_size):
    sizes = batch_sizes(n, batch_size)
    assert sizes.sum() == n
    assert sizes.max() - sizes.min() <= 1
    assert sizes.min() >= 2
    assert len(sizes) == n_batches(n, batch_size)


@settings(max_examples=200, deadline=None)
@given(n=rows, batch_size=st.integers(2, 600))
def test_their_number_is_the_nearest_to_the_size_asked_for(n, batch_size):
    steps = n_batches(n, batch_size)
    assert abs(steps - n / batch_size) <= 0.5 or (steps == 1 and n < batch_size)


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"), [(2, 32, [2]), (3, 2, [3]), (48, 32, [24, 24]), (7, 2, [3, 2, 2])]
)
def test_halves_are_rounded_up_while_two_rows_are_left_for_each(n, batch_size, sizes):
    assert batch_sizes(n, batch_size).tolist() == sizes


@st.composite
def ragged(draw):
    """Some networks' orders of rows, of unlike lengths and as many batches."""
    batch_size = draw(st.integers(2, 9))
    steps = n_batches(draw(st.integers(2, 70)), batch_size)
    lengths = [n for n in range(2, 90) if n_batches(n, batch_size) == steps]
    chosen = draw(st.lists(st.sampled_from(lengths), min_size=1, max_size=6))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    return [torch.from_numpy(random.permutation(200)[:length]) for length in chosen], batch_size


@settings(max_examples=150, deadline=None)
@given(ragged())
def test_an_epoch_goes_through_each_networks_rows_once_and_in_their_order(case):
    orders, batch_size = case
    seen = [[] for _ in orders]
    for parts in steps_of(orders, batch_size):
        for start, stop, rows in parts:
            for network in range(start, stop):
                seen[network].append(rows[network - start].tolist())
    for batches, order in zip(seen, orders, strict=True):
        assert list(chain.from_iterable(batches)) == order.tolist()
        assert [len(batch) for batch in batches] == batch_sizes(len(order), batch_size).tolist()


@settings(max_examples=150, deadline=None)
@given(ragged())
def test_each_step_moves_every_network_once_neighbours_with_batches_of_one_size_together(case):
    orders, batch_size = case
    for parts in steps_of(orders, batch_size):
        starts, stops, batches = zip(*parts, strict=True)
        assert (starts[0], stops[-1]) == (0, len(orders))
        assert starts[1:] == stops[:-1]
        assert all(rows.shape[0] == stop - start for start, stop, rows in parts)
        sizes = [rows.shape[1] for rows in batches]
        assert all(a != b for a, b in pairwise(sizes))


def test_from_the_longest_part_to_the_shortest_there_are_two_groups_at_most():
    # parts of K folds differ by a row or so: nearly always all networks go together
    orders = [torch.arange(n) for n in (50, 49, 48, 47, 46, 45)]
    groups = [len(parts) for parts in steps_of(orders, 8)]
    assert max(groups) == 2
    assert groups[0] == 2  # 50 and 49 rows make batches of 9
    assert [len(parts) for parts in steps_of([torch.arange(48)] * 5, 8)] == [1] * 6


def test_whole_numbers_stay_row_numbers():
    ((start, stop, rows),) = next(iter(steps_of([torch.tensor([5, 3, 9])], 4)))
    assert (start, stop) == (0, 1)
    assert rows.dtype == torch.int64
    assert rows.tolist() == [[5, 3, 9]]
