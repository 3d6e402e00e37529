"""What a fit may use: what users may write, and when the clock starts."""

import time
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.naive_bayes import GaussianNB

from stackkit import StackingModel, cross_fit
from stackkit._execution.limits import NO_LIMITS, limits_from_now

X, Y = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2


@pytest.mark.parametrize("name", ["task_timeout", "time_limit"])
@pytest.mark.parametrize("value", [0, -1, 0.0, "5", True, False, np.nan, [5], 1j])
def test_bad_times_are_refused_and_the_message_says_which(name, value):
    with pytest.raises(ValueError, match=rf"The '{name}' parameter of a stack must be a positive number of seconds"):
        cross_fit([GaussianNB()], X, Y, **{name: value})
    with pytest.raises(ValueError, match=rf"'{name}' .* Use None for no limit"):
        StackingModel([GaussianNB()], **{name: value}).fit(X, Y)


@pytest.mark.parametrize("value", [0, -1, 1.5, "", "8 XB", "GB", "-8 GB", "8 GB or so", True, [8], np.nan])
def test_bad_memories_are_refused(value):
    with pytest.raises(ValueError, match=r"The 'max_memory' parameter of a stack must be a positive number of bytes"):
        limits_from_now(None, None, value)
    with pytest.raises(ValueError, match=r"'500 MB' or '2 GiB'.* Use None for no limit"):
        StackingModel([GaussianNB()], max_memory=value).fit(X, Y)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1 B", 1),
        ("1b", 1),
        ("8", 8),
        ("500 MB", 500_000_000),
        ("2 GiB", 2 * 2**30),
        ("2gib", 2 * 2**30),
        ("1.5 kB", 1500),
        (" 3 TB ", 3 * 10**12),
        (7, 7),
        (np.int64(8), 8),
        (None, None),
    ],
)
def test_memory_may_be_a_number_or_text(text, size):
    assert limits_from_now(None, None, text).max_memory == size


@given(st.integers(1, 10**6), st.sampled_from("kmgt"), st.booleans())
def test_text_of_any_size_means_its_bytes(number, prefix, binary):
    text = f"{Decimal(number) / 100} {prefix.upper()}{'i' if binary else ''}B"
    power = "kmgt".index(prefix) + 1
    expected = number * (1024 if binary else 1000) ** power // 100
    assert limits_from_now(None, None, text).max_memory == expected


def test_the_clock_of_time_limit_starts_at_once():
    before = time.monotonic()
    limits = limits_from_now(3, 60.5, "1 GB")
    assert before + 60.5 <= limits.deadline <= time.monotonic() + 60.5
    assert (limits.task_timeout, limits.time_limit, limits.max_memory) == (3.0, 60.5, 10**9)


@pytest.mark.parametrize("seconds", [1, 0.5, np.float32(0.5), np.int64(3), np.inf])
def test_any_positive_number_is_a_time(seconds):
    assert limits_from_now(seconds, seconds, None).task_timeout == float(seconds)


def test_none_is_no_limit():
    assert limits_from_now(None, None, None) == NO_LIMITS
    assert NO_LIMITS.deadline == np.inf
