"""Tags windows of 2 s every 1 s with PANNs' Cnn14."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from manifests.scores import FrameScores

from ...backends.weights import ModelSetup
from .. import audioset
from ..base import Block, BlockPlan, DetectorSpec
from .library import RATE
from .runtime import CLIP, Runtime

HOP_SAMPLES, WINDOW_SAMPLES = RATE, 2 * RATE
WINDOWS_A_BLOCK = 16


def spec(setup: ModelSetup) -> DetectorSpec:
    """The detector's identity. Raises ModelUnavailable if the package, the weights or a fit are missing."""
    plan = BlockPlan(core=WINDOWS_A_BLOCK * HOP_SAMPLES, right=WINDOW_SAMPLES - HOP_SAMPLES)
    hop, window = HOP_SAMPLES / RATE, WINDOW_SAMPLES / RATE
    return DetectorSpec("panns_clip", Runtime(CLIP, setup).version, RATE, tuple(audioset.GROUPS), hop, window, plan)


def prepare(setup: ModelSetup) -> None:
    """Make the files that workers open. Raises ModelUnavailable."""
    Runtime(CLIP, setup).prepare()


def windows(samples: NDArray[np.float32], last: bool = True) -> NDArray[np.float32]:
    """The windows (n, 64000) that begin in a block's core, from its start; the last ones zero-padded.

    A window at the end of a recording is left out if it would contain only audio of the window before it.
    """
    overlap = WINDOW_SAMPLES - HOP_SAMPLES
    count = max(1, -(-(len(samples) - overlap) // HOP_SAMPLES)) if last else WINDOWS_A_BLOCK
    needed = (count - 1) * HOP_SAMPLES + WINDOW_SAMPLES
    padded = np.pad(samples[:needed], (0, max(0, needed - len(samples))))
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]


class PannsClip:
    """Windows of 2 s every 1 s; labels are the maxima of class groups, tags the five most probable classes."""

    def __init__(self, setup: ModelSetup) -> None:
        self.spec = spec(setup)
        self.probabilities = Runtime(CLIP, setup).open()

    def scores(self, block: Block) -> FrameScores:
        """Group maxima and top tags of the windows that begin in the block's core."""
        probabilities = self.probabilities(windows(block.samples[block.left :], block.last))
        tags = audioset.top_tags(probabilities, self.spec.hop)
        values = audioset.group_maxima(probabilities)
        return FrameScores(block.start / RATE, self.spec.hop, self.spec.window, self.spec.labels, values, tags)
