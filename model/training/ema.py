"""The moving average of weights over steps, which is what training writes: smoother than the weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """An exponential moving average of parameters; each process averages its own shards.

    The decay of update n (from 1) is min(`decay`, (1 + n) / (10 + n)), so that the first steps weigh little in the end
    (the warm-up of TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self._parameters = list(parameters)
        self._decay, self.updates = decay, 0
        self._averages = [values.detach().clone() for values in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Add the current parameters to the average."""
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self._averages, [values.detach() for values in self._parameters], 1 - decay)

    @torch.no_grad()
    def take(self, updates: int) -> None:
        """Set the average to the current parameters, as after `updates` updates."""
        self.updates = updates
        for values, average in zip(self._parameters, self._averages, strict=True):
            average.copy_(values)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Swap the averages into the parameters within the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for values, average in zip(self._parameters, self._averages, strict=True):
            held: Tensor = values.detach().clone()
            values.copy_(average)
            average.copy_(held)
