"""Lossy codecs and telephone rates: a sound after it was encoded and decoded."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from ...media import mono_span, write_media
from ...media.audio import resampled
from ..sources.pool import RATE
from .acoustics import Sound

CODECS = (
    ("aac", ".m4a", (24_000, 96_000)),
    ("libopus", ".ogg", (12_000, 64_000)),
    ("libmp3lame", ".mp3", (24_000, 96_000)),
)
NARROW = (8_000, 11_025, 12_000)  # Hz


def encoded(rng: np.random.Generator, sound: Sound) -> Sound:
    """A mono sound (n,) at RATE after AAC, Opus or MP3 at a low bit rate; the same length, in time with the input."""
    codec, suffix, (least, most) = CODECS[rng.integers(len(CODECS))]
    bitrate = round(float(np.exp(rng.uniform(np.log(least), np.log(most)))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sound{suffix}"
        write_media(path, audio=[sound[None]], sample_rate=RATE, audio_codec=codec, audio_bitrate=bitrate)
        return _of_length(mono_span(path, 0.0, len(sound) / RATE, RATE), len(sound))


def narrowed(rng: np.random.Generator, sound: Sound) -> Sound:
    """A sound (n,) after a recording at 8, 11 or 12 kHz."""
    rate = NARROW[rng.integers(len(NARROW))]
    return _of_length(resampled(resampled(sound, RATE, rate), rate, RATE), len(sound))


def _of_length(sound: Sound, samples: int) -> Sound:
    result = np.zeros(samples, np.float32)
    result[: len(sound)] = sound[:samples]
    return result
