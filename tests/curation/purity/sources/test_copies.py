"""Copies across packages: found after re-encoding and cutting; other sounds are not taken for copies."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

from curation.purity.sources.copies import Sketch, copies, sketch


def sound(seed: int, seconds: float) -> NDArray[np.int16]:
    """Noise in bands and bursts that the seed chooses."""
    rng = np.random.default_rng(seed)
    count = int(seconds * 16_000)
    steps = int(np.ceil(seconds * 10)) + 2
    spectrum = np.fft.rfft(rng.standard_normal((6, count)), axis=1)
    hertz = np.fft.rfftfreq(count, 1 / 16_000)
    for row, low in zip(spectrum, np.geomspace(200, 4000, 6), strict=True):
        row[(hertz < low) | (hertz > 1.7 * low)] = 0
    gains = np.exp(rng.uniform(-5, 0, (6, steps)))
    at = np.linspace(0, steps - 1, count)
    layers = np.fft.irfft(spectrum, count, axis=1) * [np.interp(at, np.arange(steps), row) for row in gains]
    mix = layers.sum(axis=0)
    return np.asarray(mix / np.abs(mix).max() * 20_000, np.int16)


def encoded(samples: NDArray[np.int16], gain: float = 0.5) -> NDArray[np.int16]:
    file = io.BytesIO()
    soundfile.write(file, samples * (gain / 32768), 16_000, format="OGG", subtype="VORBIS")
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="int16")[0], np.int16)


def test_copies_of_another_package_are_found() -> None:
    short = [sound(i, 0.6 + 0.02 * i) for i in range(12)]
    long = [sound(100 + i, 9.0) for i in range(3)]
    sketches: list[Sketch] = [sketch(f"a{i}", "a", one) for i, one in enumerate([*short, *long])]
    sketches += [
        sketch("b-short", "b", encoded(np.concatenate([np.zeros(500, np.int16), short[3]]))),
        sketch("b-long", "b", encoded(long[1][30_000:])),
        sketch("b-other", "b", sound(50, 0.66)),
        sketch("b-tall", "b", sound(51, 9.0)),
        sketch("a-again", "a", short[5]),
    ]
    assert copies(sketches) == {("a3", "b-short"), ("a13", "b-long")}


def test_nothing_to_compare() -> None:
    assert copies([]) == set()
    assert copies([sketch("a", "a", np.zeros(100, np.int16)), sketch("b", "b", sound(1, 5))]) == set()
