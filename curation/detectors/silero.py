"""Speech probability by Silero VAD (MIT, https://github.com/snakers4/silero-vad), its sequence model run directly.

The model takes frames of 512 samples with the 64 before them and carries an LSTM state from frame to frame; one call
takes a block of 512 frames and the previous block's state, so the scores equal those of the frame-by-frame model.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from manifests.scores import FrameScores

from ..backends.onnx import open_session
from ..backends.weights import packaged_file, weights_hash
from .base import Block, BlockPlan, DetectorSpec

RATE, FRAME, CONTEXT, FRAMES_A_BLOCK = 16_000, 512, 64, 512


def _weights() -> tuple[str, str, str]:
    return "silero_vad", "data/silero_vad_16k_sequence.onnx", "silero-vad==6.2.3"


@cache
def spec() -> DetectorSpec:
    """The detector's identity. Raises ModelUnavailable if the package is missing."""
    version = f"1-{weights_hash(packaged_file(*_weights()))}"
    plan = BlockPlan(core=FRAME * FRAMES_A_BLOCK, left=CONTEXT)
    return DetectorSpec("silero", version, RATE, ("speech",), FRAME / RATE, FRAME / RATE, plan, stateless=False)


class Silero:
    """Frames of 32 ms, one label `speech`."""

    def __init__(self) -> None:
        self.spec = spec()
        self._session = open_session(packaged_file(*_weights()))
        self._state = self._fresh_state()

    @staticmethod
    def _fresh_state() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return np.zeros((1, 1, 128), np.float32), np.zeros((1, 1, 128), np.float32)

    def scores(self, block: Block) -> FrameScores:
        """Speech probability of the block's frames; the state restarts at a recording's first block."""
        if block.first:
            self._state = self._fresh_state()
        count = -(-block.core // FRAME)
        padded = np.zeros(CONTEXT + count * FRAME, np.float32)
        begin = CONTEXT - block.left
        padded[begin : begin + len(block.samples)] = block.samples
        frames = np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + FRAME)[::FRAME]
        hidden, cell = self._state
        probabilities, hidden, cell = self._session.run(
            ["speech_probs", "hn", "cn"], {"input": np.ascontiguousarray(frames), "h": hidden, "c": cell}
        )
        self._state = hidden, cell
        values = np.asarray(probabilities, np.float32).reshape(-1, 1).astype(np.float16)
        return FrameScores(block.start / RATE, self.spec.hop, self.spec.window, self.spec.labels, values)
