"""Torch's process-wide settings, held for one training or one prediction and then put back."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import RLock

import torch

# Multiplications a matrix from which oneDNN beats MKL; below, its set-up costs more than it gains (measured).
LARGE_PRODUCT = 500_000

# The number of threads, the random state and the way of multiplying belong to the process, not to the
# thread of a worker: whoever needs them set takes turns.
_TURN = RLock()


@contextmanager
def held(*, n_threads: int | None = None, seed: int | None = None, fast_products: bool = False) -> Iterator[None]:
    """Hold torch's threads, random state and matrix products; one holder in the process at a time.

    Parameters
    ----------
    n_threads : int, default=None
        Threads inside one torch operation; None leaves torch's own number.
    seed : int, default=None
        What torch's global generator starts from; it is put back afterwards. Only networks that are not
        ours draw from it.
    fast_products : bool, default=False
        Multiply float32 matrices with oneDNN where that is as exact as the usual way.
    """
    with _TURN, torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        threads, products = torch.get_num_threads(), torch.get_float32_matmul_precision()
        try:
            if n_threads is not None:
                torch.set_num_threads(n_threads)
            if fast_products and _fast_products_are_exact():
                torch.set_float32_matmul_precision("medium")
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_float32_matmul_precision(products)


@cache
def _fast_products_are_exact() -> bool:
    """Whether "medium" keeps float32's precision here; on some processors it rounds to bfloat16."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 256, 256, generator=generator)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        product = a @ b
    finally:
        torch.set_float32_matmul_precision(before)
    exact = a.double() @ b.double()
    return bool((product - exact).abs().max() < 1e-4 * exact.abs().max() / 2)


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 numbers itself; emulated, they are slower than float32."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
