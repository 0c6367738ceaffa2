"""Signals with known answers, and native detectors run over them."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from curation.detectors import open_detector
from curation.media import AudioBlock
from manifests.scores import FrameScores

Float = NDArray[np.floating]
RATE = 48_000


def heard(
    name: str,
    samples: Float,
    rate: int = RATE,
    layout: str = "",
    block_seconds: int = 5,
    gaps: list[tuple[float, float]] | None = None,
) -> FrameScores:
    """What a native detector says of float (channels, n) or (n,)."""
    detector = open_detector(name)
    detector.begin()
    sound = np.atleast_2d(samples).astype(np.float32)
    size = block_seconds * rate
    for index, begin in enumerate(range(0, sound.shape[1], size)):
        start, end = index * block_seconds, (index + 1) * block_seconds
        inside = [(max(a, start), min(b, end)) for a, b in gaps or [] if a < end and b > start]
        part = np.ascontiguousarray(sound[:, begin : begin + size])
        detector.scores(AudioBlock(index, float(start), rate, part, inside, {}, 0, layout))
    found = detector.finish()
    assert isinstance(found, FrameScores)
    return found


def sine(hertz: float, seconds: float, peak: float = 1.0, rate: int = RATE) -> NDArray[np.float64]:
    return peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def noise(seconds: float, rms: float = 0.05, seed: int = 1, rate: int = RATE) -> NDArray[np.float64]:
    return rms * np.random.default_rng(seed).standard_normal(round(seconds * rate))


def falling(seconds: float, corner: float, slope: float, rms: float = 0.1, seed: int = 1, rate: int = RATE) -> Float:
    """Noise that falls by `slope` dB an octave above `corner` Hz: dull, but not cut."""
    spectrum = np.fft.rfft(noise(seconds, 1.0, seed, rate))
    frequency = np.fft.rfftfreq(round(seconds * rate), 1 / rate)
    wave = np.fft.irfft(spectrum / np.sqrt(1 + (frequency / corner) ** (2 * slope / 6.02)))
    return np.asarray(wave * rms / np.sqrt(np.mean(wave**2)))


def sixteen_bits(samples: Float) -> NDArray[np.float64]:
    return np.asarray(np.round(np.clip(samples, -1, 1) * 32767) / 32768)


def by_ffmpeg(mono: Float, rate: int, target: int) -> NDArray[np.float64]:
    """Resampled as FFmpeg does by default."""
    frame: Any = av.AudioFrame.from_ndarray(mono.astype(np.float32)[None], format="fltp", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=target)
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    return np.asarray(np.concatenate([part.to_ndarray()[0] for part in parts]), np.float64)
