"""Latents of the audio codecs: two mel frames each, at the rate of one of two front ends."""

from __future__ import annotations

from ..audio.mel import MODES, Mode
from .base import CLIP_SECONDS, EncoderSpec

FRAMES = 2
"""Mel frames per latent."""


def latent_spec(name: str, version: str, mode: Mode, dimension: int) -> EncoderSpec:
    """The description of a codec whose latents have `dimension` values.

    A clip's last latent is complete: at 44.1 kHz it extends 480 samples beyond the eighth second.
    """
    mel = MODES[mode]
    samples_per_latent = FRAMES * mel.hop
    length = -(-CLIP_SECONDS * mel.sample_rate // samples_per_latent)
    return EncoderSpec(
        name,
        version,
        "audio",
        rate=mel.sample_rate / samples_per_latent,
        dimension=dimension,
        length=length,
        sample_rate=mel.sample_rate,
        samples=length * samples_per_latent,
    )
