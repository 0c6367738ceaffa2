"""Detects sound events at 100 frames per second with PANNs' Cnn14_DecisionLevelMax.

The network has one output per 32 frames (0.32 s) and a context of 158 frames on each side; two more are distorted where
a block is mirrored at its ends. With 160 frames of context, a whole number of outputs, a block's scores equal those of
the network over the whole recording.
"""

from __future__ import annotations

import numpy as np

from manifests.scores import FrameScores

from ...backends.weights import ModelSetup
from .. import audioset
from ..base import Block, BlockPlan, DetectorSpec
from .library import HOP, RATE
from .runtime import FRAME, SEGMENT, Runtime

CONTEXT_FRAMES = 5 * SEGMENT
CORE_FRAMES = 96 * SEGMENT  # 30.72 s, so that the context adds a tenth to the work
SHORTEST = (SEGMENT - 1) * HOP  # the network has no output for less than one segment


def spec(setup: ModelSetup) -> DetectorSpec:
    """The detector's identity. Raises ModelUnavailable if the package, the weights or a fit are missing."""
    context = CONTEXT_FRAMES * HOP
    plan = BlockPlan(core=CORE_FRAMES * HOP, left=context, right=context)
    hop = HOP / RATE
    return DetectorSpec("panns_frame", Runtime(FRAME, setup).version, RATE, tuple(audioset.GROUPS), hop, hop, plan)


def prepare(setup: ModelSetup) -> None:
    """Make the files that workers open. Raises ModelUnavailable."""
    Runtime(FRAME, setup).prepare()


class PannsFrame:
    """Frames of 10 ms; labels are the maxima of class groups."""

    def __init__(self, setup: ModelSetup) -> None:
        self.spec = spec(setup)
        self.probabilities = Runtime(FRAME, setup).open()

    def scores(self, block: Block) -> FrameScores:
        """Group maxima of the frames that begin in the block's core."""
        samples = np.pad(block.samples, (0, max(0, SHORTEST - len(block.samples))))
        begin, count = block.left // HOP, -(-block.core // HOP)
        probabilities = self.probabilities(samples[None])[0, begin : begin + count]
        values = audioset.group_maxima(probabilities)
        return FrameScores(block.start / RATE, self.spec.hop, self.spec.window, self.spec.labels, values)
