"""Quantizes the convolutions to 8 bits: scales and rounded filters from the network's responses to real audio.

Two methods keep the probabilities close. Quiet channels are amplified before rounding, three quarters of the way in dB
to the loudest, and the next filters undo it (Nagel et al. 2019, https://arxiv.org/abs/1906.04721; not all the way, as
in Xiao et al. 2022, https://arxiv.org/abs/2211.10438, because those filters are rounded, too). And filters are rounded
one input channel after the other; each rounding error is moved into the remaining channels that usually carry the same
signal (GPTQ, Frantar et al. 2022, https://arxiv.org/abs/2210.17323; here with the correlation of channels alone, the
same for the nine taps).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .graph import BLOCKS, EightBit, Layers

Array = NDArray[np.float32]
DAMPING = 0.01  # of the mean power, added to each channel's: correlations of few recordings are not reliable below it
EVENED = 0.75  # of the difference in dB between a channel and the loudest
QUIETEST = 0.02  # of the loudest channel: quieter ones are not amplified more
GROUP = 64  # channels rounded before their errors are passed on to all others
POSITIONS = 4096  # positions of a batch that are enough for its correlations


@dataclass(eq=False)
class Responses:
    """Statistics of a network's tensors on real audio, by name of graph.PROBES.

    `largest`: each channel's maximum; `products`: for the inputs of convolutions, the channels' mean products with each
    other, summed over batches.
    """

    largest: dict[str, Array] = field(default_factory=dict)
    products: dict[str, Array] = field(default_factory=dict)

    def add(self, name: str, values: Array) -> None:
        """Add a batch's values (n, channels, height, width)."""
        channels = values.swapaxes(0, 1).reshape(values.shape[1], -1)
        largest = channels.max(axis=1)
        self.largest[name] = np.maximum(self.largest.get(name, largest), largest)
        if name.startswith("input"):
            some = channels[:, :: max(1, channels.shape[1] // POSITIONS)]
            products = np.asarray(some @ some.T / some.shape[1], np.float32)
            self.products[name] = self.products[name] + products if name in self.products else products


def quantized(layers: Layers, responses: Responses) -> tuple[Layers, EightBit]:
    """The network prepared for 8 bits, and its 8-bit parameters."""
    gains = {i: _gains(responses.largest[f"input{i}"]) for i in range(1, 2 * BLOCKS)}
    levelled = _levelled(layers, gains)
    filters, filter_scales, input_scales, pool_scales = {}, {}, {}, {}
    for i in range(1, 2 * BLOCKS):
        input_scales[i] = _step(responses.largest[f"input{i}"])  # amplified, no channel exceeds the loudest
        moments = responses.products[f"input{i}"] * np.outer(gains[i], gains[i])
        filters[i], filter_scales[i] = _rounded(levelled.filters[i], moments)
    for i in range(2, 2 * BLOCKS + 1, 2):
        pool_scales[i] = _step(responses.largest[f"pool{i}"] * gains.get(i, np.float32(1)))
    return levelled, EightBit(filters, filter_scales, input_scales, pool_scales)


def _gains(largest: Array) -> Array:
    """The factor of each channel, at least 1."""
    top = max(float(largest.max()), 1e-12)
    return np.asarray((top / np.maximum(largest, QUIETEST * top)) ** EVENED, np.float32)


def _levelled(layers: Layers, gains: dict[int, Array]) -> Layers:
    """The same network with the input channels of convolution i multiplied by gains[i].

    Rectifier and pooling pass a positive factor on, so that the convolution before can apply it.
    """
    filters, biases = list(layers.filters), list(layers.biases)
    for i, gain in gains.items():
        filters[i - 1] = filters[i - 1] * gain[:, None, None, None]
        biases[i - 1] = biases[i - 1] * gain
        filters[i] = filters[i] / gain[:, None, None]
    return replace(layers, filters=tuple(filters), biases=tuple(biases))


def _step(largest: Array) -> float:
    return float(max(float(largest.max()), 1e-12) / 255)


def _rounded(filters: Array, moments: Array) -> tuple[NDArray[np.int8], Array]:
    """Filters (out, in, 3, 3) as int8 and the step of each output channel (out,)."""
    count, channels = filters.shape[:2]
    steps = np.maximum(np.abs(filters).reshape(count, -1).max(axis=1), 1e-12) / np.float32(127)
    damped = moments.astype(np.float64)
    damped[np.diag_indices(channels)] += DAMPING * max(float(np.trace(moments)) / channels, 1e-12)
    # row i of the factor: the best compensation of an error in channel i by the channels after it
    feedback = np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)
    rest = (filters / steps[:, None, None, None]).transpose(1, 2, 3, 0).reshape(channels, -1)
    result = np.empty(rest.shape, np.int8)
    for begin in range(0, channels, GROUP):
        end = min(begin + GROUP, channels)
        errors = np.empty((end - begin, rest.shape[1]), np.float32)
        for i in range(begin, end):
            nearest = np.clip(np.round(rest[i]), -127, 127)
            result[i] = nearest
            errors[i - begin] = (rest[i] - nearest) / feedback[i, i]
            rest[i + 1 : end] -= np.outer(feedback[i, i + 1 : end], errors[i - begin])
        rest[end:] -= feedback[begin:end, end:].T @ errors
    return np.ascontiguousarray(result.reshape(channels, 3, 3, count).transpose(3, 0, 1, 2)), steps
