"""Finds sources that are copies of others, re-encoded or cut, in other packages: they would join the splits.

Long sources are compared by the fingerprints of `curation.duplicates`; short ones by their outline, the energies of
bands over the first half second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from ...duplicates import (
    BOUNDS,
    AudioFingerprinter,
    Bounds,
    Fingerprint,
    find_matches,
    new_fingerprint,
    open_index,
    write_index,
)
from .pool import RATE

LONG_SECONDS = 4.0
"""From this length on, a source is compared by fingerprints."""
MOST_SECONDS = 60
"""Of a source, from its beginning, that are compared."""
SIMILAR = 0.96
_DISTINCT = 2.5
_FRAME, _HOP, _FRAMES, _BANDS = 512, 256, 48, 24
_LOW, _HIGH = 150.0, 7000.0
_FLOOR = 6.0  # natural logarithms below the strongest frame
_ONSET = 4.0
_LENGTH = 1.25  # most ratio of the lengths of two short copies
_BLOCK = 2048


@dataclass(frozen=True, eq=False)
class Sketch:
    """The part of a source that is compared: words of a long one, else an outline (frames * bands,) of length 1."""

    name: str
    owner: str
    """Sources of one owner, a package, are not compared with each other."""
    seconds: float
    words: NDArray[np.uint64] | None
    outline: NDArray[np.float32] | None


def sketch(name: str, owner: str, samples: NDArray[np.int16]) -> Sketch:
    """The sketch of samples (n,) at RATE."""
    seconds = len(samples) / RATE
    floats = samples[: MOST_SECONDS * RATE].astype(np.float32) / np.float32(32768)
    if seconds < LONG_SECONDS:
        return Sketch(name, owner, seconds, None, _outline(floats))
    fingerprinter = AudioFingerprinter()
    fingerprinter.push(floats)
    return Sketch(name, owner, seconds, fingerprinter.finish(), None)


def copies(sketches: Sequence[Sketch]) -> set[tuple[str, str]]:
    """Pairs of names of different owners that share audio, each pair sorted."""
    found = {tuple(sorted(pair)) for pair in (*_similar(sketches), *_matching(sketches))}
    return {(one, other) for one, other in found}


def _similar(sketches: Sequence[Sketch]) -> Iterator[tuple[str, str]]:
    short = [one for one in sketches if one.outline is not None]
    if not short:
        return
    outlines = np.stack([one.outline for one in short if one.outline is not None])
    seconds = np.array([one.seconds for one in short])
    owners = np.unique([one.owner for one in short], return_inverse=True)[1]
    for begin in range(0, len(short), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        ratio = seconds[part, None] / seconds
        hits = outlines[part] @ outlines.T > SIMILAR
        hits &= (ratio < _LENGTH) & (ratio > 1 / _LENGTH) & (owners[part, None] != owners)
        for i, j in np.argwhere(hits):
            if begin + i < j:
                yield short[begin + i].name, short[j].name


def _matching(sketches: Sequence[Sketch]) -> Iterator[tuple[str, str]]:
    owners = {one.name: one.owner for one in sketches}
    prints: dict[str, Fingerprint] = {
        one.name: new_fingerprint(one.name, one.name, "audio", 0.0, one.words)
        for one in sketches
        if one.words is not None
    }
    audio = BOUNDS["audio"]
    bounds = Bounds(audio.max_errors, audio.max_mean, audio.smooth, audio.bridge, _DISTINCT, audio.repeat)
    with TemporaryDirectory(prefix="lpse-") as folder:
        write_index(Path(folder), prints.values())
        index = open_index(Path(folder))
        for match in find_matches(prints.values(), [index], prints.__getitem__, {**BOUNDS, "audio": bounds}):
            if owners[match.recording_id] != owners[match.other_id]:
                yield match.recording_id, match.other_id


def _outline(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(samples, (_FRAME, _FRAME * 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP] * np.hanning(_FRAME).astype(np.float32)
    energies = np.square(np.abs(np.fft.rfft(frames))).astype(np.float32) @ _bands()
    strongest = np.log(energies.sum(axis=1).max() + 1e-12)
    onset = int(np.argmax(np.log(energies.sum(axis=1) + 1e-12) > strongest - _ONSET))
    logs = np.maximum(np.log(energies + 1e-12), np.log(energies.max() + 1e-12) - _FLOOR)[onset : onset + _FRAMES]
    logs = np.pad(logs, ((0, _FRAMES - len(logs)), (0, 0)), constant_values=float(logs.min()))
    logs -= logs.mean()
    unit = logs.ravel() / max(1e-6, float(np.linalg.norm(logs)))
    return unit.astype(np.float16).astype(np.float32)  # as it is stored


@cache
def _bands() -> NDArray[np.float32]:
    """Shares of FFT bins in bands that are equally wide in the logarithm of frequency, (bins, bands)."""
    hertz = np.fft.rfftfreq(_FRAME, 1 / RATE)
    edges = np.geomspace(_LOW, _HIGH, _BANDS + 1)
    weights = (hertz[:, None] >= edges[:-1]) & (hertz[:, None] < edges[1:])
    # the lowest bands are narrower than a bin: each takes the nearest one
    nearest = np.abs(hertz[:, None] - np.sqrt(edges[:-1] * edges[1:])).argmin(axis=0)
    weights[nearest, np.arange(_BANDS)] = True
    return weights.astype(np.float32)
