"""What the codecs of sound have in common: latents of two mel frames each, at the rate of one of two front ends."""

from __future__ import annotations

from ..audio.mel import MODES, Mode
from .base import CLIP_SECONDS, EncoderSpec

FRAMES = 2
"""Mel frames that one latent stands for."""


def latent_spec(name: str, version: str, mode: Mode, dimension: int) -> EncoderSpec:
    """The identity of a codec whose latents have `dimension` values.

    A clip's last latent is whole: at 44.1 kHz it reaches 480 samples beyond the eighth second.
    """
    mel = MODES[mode]
    samples_a_latent = FRAMES * mel.hop
    length = -(-CLIP_SECONDS * mel.sample_rate // samples_a_latent)
    return EncoderSpec(
        name,
        version,
        "audio",
        rate=mel.sample_rate / samples_a_latent,
        dimension=dimension,
        length=length,
        sample_rate=mel.sample_rate,
        samples=length * samples_a_latent,
    )
