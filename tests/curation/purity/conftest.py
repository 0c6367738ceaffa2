"""A small pool of made sounds with all kinds in all splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from curation.purity.sources.pool import RATE, SPLITS, Kind, Pool, PoolWriter, Source


def tones(rng: np.random.Generator, seconds: float, notes: int) -> NDArray[np.float64]:
    """Chords of three partials, `notes` per second."""
    time = np.arange(round(seconds * RATE)) / RATE
    sound = np.zeros(len(time))
    for index in range(max(1, round(seconds * notes))):
        here = (time >= index / notes) & (time < (index + 1) / notes)
        for ratio in (1.0, 1.25, 1.5):
            sound[here] += np.sin(2 * np.pi * 220 * 2 ** (rng.integers(12) / 12) * ratio * time[here])
    return sound / 3


def syllables(rng: np.random.Generator, seconds: float) -> NDArray[np.float64]:
    """A buzz at 120 Hz in bursts of 150 ms."""
    time = np.arange(round(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * 120 * k * time + rng.uniform(0, 6)) / k for k in range(1, 25))
    return np.asarray(buzz * (np.sin(2 * np.pi * 3.3 * time) > 0) / 4)


def made(rng: np.random.Generator, kind: Kind, seconds: float) -> NDArray[np.int16]:
    """A sound of a kind, 16-bit."""
    if kind == "music":
        sound = tones(rng, seconds, 3)
    elif kind == "effects":
        sound = rng.standard_normal(round(seconds * RATE)) * 0.3
    else:
        sound = syllables(rng, seconds)
    return np.asarray(np.clip(sound, -1, 1) * 20_000, np.int16)


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """Two sources of each kind in each split, and one that is left out."""
    folder = tmp_path_factory.mktemp("pool")
    rng = np.random.default_rng(0)
    kinds: tuple[Kind, ...] = ("speech", "singing", "music", "effects")
    for split in SPLITS:
        writer = PoolWriter(folder, f"package-{split}")
        for kind in kinds:
            for number, seconds in enumerate((1.5, 9.0)):
                sound = made(rng, kind, seconds)
                name = f"{kind}/{number}.wav"
                one = Source(f"package-{split}", "1", name, f"{split}{kind}{number}", "CC0-1.0", kind,
                             f"class-{number}", kind, split, seconds)  # fmt: skip
                writer.add(one, sound)
        doubtful = Source(f"package-{split}", "1", "doubtful.wav", f"{split}doubt", "CC0-1.0", "effects", "x", "x",
                          split, 1.0, doubt="a voice is found in it")  # fmt: skip
        writer.add(doubtful, made(rng, "speech", 1.0))
        writer.close()
    return Pool.open(folder)


@pytest.fixture(scope="session")
def pool_folder(pool: Pool) -> Path:
    """The folder of the pool."""
    return pool.folder
