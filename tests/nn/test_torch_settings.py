import threading

import pytest
import torch

from stackkit.nn import _torch_settings as _numerics
from stackkit.nn._torch_settings import has_bfloat16, held


@pytest.fixture(autouse=True)
def unchanged():
    """Whatever a test does, the process's settings are what they were: the contract of this file."""
    before = (torch.get_num_threads(), torch.get_float32_matmul_precision())
    yield
    after = (torch.get_num_threads(), torch.get_float32_matmul_precision())
    torch.set_num_threads(before[0])
    torch.set_float32_matmul_precision(before[1])
    assert after == before


@pytest.fixture
def exact(monkeypatch):
    monkeypatch.setattr(_numerics, "_fast_products_are_exact", lambda: True)


def fail():
    raise ZeroDivisionError


# --- held and put back --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True], ids=["success", "error"])
@pytest.mark.usefixtures("exact")
def test_all_settings_are_held_and_put_back(fails):
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    try:
        with held(n_threads=threads + 1, seed=5, fast_products=True):
            assert torch.get_num_threads() == threads + 1
            assert torch.initial_seed() == 5
            assert torch.get_float32_matmul_precision() == "medium"
            torch.rand(3)
            if fails:
                fail()
    except ZeroDivisionError:
        assert fails
    assert torch.get_num_threads() == threads
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.equal(torch.get_rng_state(), before)


def test_a_number_of_threads_that_torch_refuses_leaves_all_as_it_was():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="positive"), held(n_threads=0, seed=1):
        pass
    assert torch.equal(torch.get_rng_state(), before)
    with held(n_threads=1):  # nobody holds the turn
        pass


def test_what_is_not_asked_for_stays():
    threads = torch.get_num_threads()
    with held():
        assert torch.get_num_threads() == threads
        assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.usefixtures("exact")
def test_the_users_own_precision_comes_back():
    torch.set_float32_matmul_precision("high")
    try:
        with held(fast_products=True):
            assert torch.get_float32_matmul_precision() == "medium"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.usefixtures("exact")
def test_one_holder_inside_another_gives_back_what_it_found():
    threads = torch.get_num_threads()
    with held(n_threads=threads + 2):
        with held(n_threads=threads + 1, fast_products=True):
            assert torch.get_num_threads() == threads + 1
        assert torch.get_num_threads() == threads + 2
        assert torch.get_float32_matmul_precision() == "highest"


# --- the random state ---------------------------------------------------------------------------------------


def test_from_one_seed_come_the_same_numbers_and_the_callers_go_on_as_if_nothing_was():
    torch.manual_seed(1)
    first, second = torch.rand(4), torch.rand(4)
    torch.manual_seed(1)
    drawn = []
    for _ in range(2):
        with held(seed=9):
            drawn.append(torch.rand(4))
    expected = torch.rand(4, generator=torch.Generator().manual_seed(9))
    assert torch.equal(drawn[0], expected)
    assert torch.equal(drawn[1], expected)
    assert torch.equal(torch.rand(4), first)
    with held(seed=9):
        torch.rand(100)
    assert torch.equal(torch.rand(4), second)


def test_without_a_seed_draws_are_the_callers_own():
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    with held(n_threads=1):
        found = [torch.rand(1)]
    found.append(torch.rand(1))
    assert torch.equal(torch.cat(found), expected)


# --- turns --------------------------------------------------------------------------------------------------


def test_threads_take_turns():
    waiting, inside = threading.Event(), threading.Event()

    def other():
        waiting.set()
        with held(n_threads=1, seed=2):
            inside.set()

    thread = threading.Thread(target=other)
    with held(n_threads=1, seed=1):
        thread.start()
        assert waiting.wait(5)
        assert not inside.wait(0.1)
        drawn = torch.rand(3)
    assert inside.wait(5)
    thread.join()
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(1)))


def test_many_threads_draw_what_each_would_alone():
    found = {}

    def draw(seed):
        for _ in range(20):
            with held(seed=seed):
                found.setdefault(seed, set()).add(tuple(torch.rand(2).tolist() + torch.rand(2).tolist()))

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(found[seed]) for seed in range(4)] == [1] * 4
    assert len(set.union(*found.values())) == 4


def test_a_thread_that_fails_inside_lets_the_next_one_in():
    def failing():
        with pytest.raises(ZeroDivisionError), held(seed=1):
            fail()

    thread = threading.Thread(target=failing)
    thread.start()
    thread.join()
    with held(seed=1):
        pass


# --- fast products ------------------------------------------------------------------------------------------


@pytest.fixture
def forget():
    """The check is made once a process."""
    _numerics._fast_products_are_exact.cache_clear()
    yield
    _numerics._fast_products_are_exact.cache_clear()


@pytest.mark.parametrize("rounds", [False, True])
@pytest.mark.usefixtures("forget")
def test_fast_products_are_used_where_they_do_not_round_to_bfloat16(monkeypatch, rounds):
    multiply = torch.Tensor.__matmul__

    def product(a, b):
        if a.dtype == torch.float32 and rounds and torch.get_float32_matmul_precision() == "medium":
            return multiply(a.bfloat16(), b.bfloat16()).float()
        if a.dtype == torch.float32:
            return multiply(a.double(), b.double()).float()
        return multiply(a, b)

    monkeypatch.setattr(torch.Tensor, "__matmul__", product)
    with held(fast_products=True):
        assert torch.get_float32_matmul_precision() == ("highest" if rounds else "medium")


@pytest.mark.usefixtures("forget")
def test_the_check_of_fast_products_leaves_precision_and_random_state():
    before = torch.get_rng_state()
    assert _numerics._fast_products_are_exact() in (True, False)
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.equal(torch.get_rng_state(), before)


def test_large_float32_products_are_as_exact_as_ever():
    draws = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 300, 300, generator=draws)
    with held(fast_products=True):
        product = a @ b
    exact = a.double() @ b.double()
    assert (product - exact).abs().max() < 1e-4 * exact.abs().max()


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({}, False), ({"avx512_bf16": False}, False), ({"amx_bf16": True}, True), ({"bf16": True}, True)],
)
def test_bfloat16_is_what_the_processor_says_it_has(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert has_bfloat16() is expected
