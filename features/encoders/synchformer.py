"""Sync vectors: Synchformer's visual branch at 25 frames per second."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from curation.backends.weights import ModelSetup

from .base import CLIP_SECONDS, EncoderSpec, FrameLayout, weights_version
from .networks.synchformer import SIDE, STEPS, STRIDE, WINDOW, load_synchformer
from .precision import Precision, in_precision, place

NAME = "synchformer"
FILE = "synchformer_state_dict.pth"
MD5 = "5b2f5594b0730f70e41e549b7c94390c"
SOURCE = f"MMAudio's release v0.1 (https://github.com/hkchengrex/MMAudio, MD5 {MD5})"
CODE = 1
FPS = 25
WINDOWS_PER_BATCH = {"cpu": 2, "cuda": 40}


def weights_file(setup: ModelSetup) -> Path:
    """The released file. Raises ModelUnavailable if it is missing."""
    return setup.weights_file(NAME, FILE, SOURCE)


def spec(setup: ModelSetup, precision: Precision = "float32") -> EncoderSpec:
    """The encoder's description. Raises ModelUnavailable if the weights are missing."""
    frames = FrameLayout(FPS, SIDE, "crop", WINDOW, STRIDE, STEPS)
    return in_precision(
        EncoderSpec(
            NAME,
            weights_version(weights_file(setup), CODE),
            "sync",
            rate=FPS * STEPS / STRIDE,
            dimension=768,
            length=frames.length(FPS * CLIP_SECONDS),
            frames=frames,
        ),
        precision,
    )


class SynchformerEncoder:
    """Eight vectors per window of 16 frames, 8 frames apart, window after window over a whole video.

    Clip i of 8 s has windows 25 i to 25 i + 23, the same as it would have alone. In bfloat16 the vectors differ from
    those in float32 by 0.8 % (relative L2 norm, random weights).
    """

    def __init__(self, setup: ModelSetup, device: torch.device | str = "cpu", precision: Precision = "float32") -> None:
        self.spec = spec(setup, precision)
        self.precision = precision
        self.network = load_synchformer(weights_file(setup))
        place(self.network, device, precision)
        self.network.batch = WINDOWS_PER_BATCH.get(torch.device(device).type, WINDOWS_PER_BATCH["cpu"])

    def encode(self, frames: Tensor) -> Tensor:
        """uint8 (F, 3, 224, 224) -> float32 (8 ((F - 16) // 8 + 1), 768); no vectors for fewer than 16 frames."""
        return self.network.encode(frames)
