"""The exponential moving average of a network in training: what it ends with, in place of the last step's weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from stackkit.nn._network_state import load_state, state_of


class MovingAverage:
    """The mean of a network's states after each step, each step counting ``decay`` times the one after it.

    After t steps the state of step s has the share (1 - decay) decay^(t - s) / (1 - decay^t). The shares sum to one,
    and the first weights, which were drawn at random, have none, however few the steps.

    BN's running statistics are averaged like the weights. They belong to the weights of each step, and only nearly
    to the averaged ones: good enough to look at between epochs. Who wants those of the averaged weights takes them
    once more after training, by Algorithm 2 of Ioffe and Szegedy.

    Parameters
    ----------
    network : nn.Module
        In training.
    decay : float
        At least 0, where the average is the last state, and below 1.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network, self._decay, self._steps = network, decay, 0
        self.state = [tensor.detach().clone() for tensor in state_of(network)]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the state after one more step."""
        self._steps += 1
        share = (1 - self._decay) / (1 - self._decay**self._steps)
        for average, tensor in zip(self.state, state_of(self._network), strict=True):
            average.lerp_(tensor, share)

    @contextmanager
    def in_the_network(self) -> Iterator[None]:
        """Meanwhile the network holds the average."""
        own = [tensor.detach().clone() for tensor in state_of(self._network)]
        load_state(self._network, self.state)
        try:
            yield
        finally:
            load_state(self._network, own)
