"""Fingerprints: words of 32 signs, one every few hundredths of a second, that identify a recording's content.

A word is the sign pattern of differences over time and over neighbouring bands (audio) or blocks (video), as in Haitsma
and Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR 2002), and Oostveen, Kalker and Haitsma, "Feature
Extraction and a Database Strategy for Video Fingerprinting" (VISUAL 2002). A word also marks its least certain signs: a
search tries those both ways, an alignment ignores them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["audio", "picture"]
KINDS: tuple[Kind, ...] = ("audio", "picture")
SIGNS = 32
WEAK = 6
"""Number of signs of a word that are marked as uncertain."""
SIGN_MASK = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class KindSpec:
    """The clock of one kind's words: word n covers `window` seconds around start + n * hop."""

    version: str
    hop: float
    window: float

    @property
    def lead(self) -> float:
        """Seconds from the beginning of an item to its first word."""
        return self.window / 2


SPECS: dict[Kind, KindSpec] = {
    # 15.6 words per second: frames of 256 ms every 64 ms, means of 4, differences over 8
    "audio": KindSpec("1", 0.064, 0.96),
    # 8 words per second: means of 4 frames, differences over 4
    "picture": KindSpec("1", 0.125, 1.0),
}


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """The words of one segment (`item`) of a recording, uint64 (count,): signs below, uncertain ones marked above.

    `start`: time of word 0 in seconds, half a window after the segment begins (`new_fingerprint` adds it). A word of
    value 0 has no information: silence, a steady tone, a still frame.
    """

    item: str
    recording_id: str
    kind: Kind
    start: float
    hop: float
    words: NDArray[np.uint64]

    def __post_init__(self) -> None:
        if self.kind not in SPECS:
            raise ValueError(f"{self.item}: kind is {self.kind!r}, must be one of {', '.join(KINDS)}")
        if self.hop != SPECS[self.kind].hop:
            raise ValueError(f"{self.item}: hop is {self.hop} s, must be {SPECS[self.kind].hop} s for kind {self.kind}")
        if self.words.ndim != 1 or self.words.dtype != np.uint64:
            raise ValueError(
                f"{self.item}: words have shape {self.words.shape} and type {self.words.dtype}, "
                "must be (count,) of uint64"
            )

    @property
    def begin(self) -> float:
        """The beginning of the segment in seconds."""
        return self.start - SPECS[self.kind].lead

    @property
    def end(self) -> float:
        """The end of the content that the words cover, in seconds."""
        return self.start + max(len(self.words) - 1, 0) * self.hop + SPECS[self.kind].lead


def version(kind: Kind) -> str:
    """Version of the fingerprints of this kind, for cache keys: words of different versions cannot be compared."""
    return f"{kind}-{SPECS[kind].version}"


def new_fingerprint(item: str, recording_id: str, kind: Kind, begin: float, words: NDArray[np.uint64]) -> Fingerprint:
    """The fingerprint of a segment that begins at `begin` seconds of the recording, from a fingerprinter's words."""
    spec = SPECS[kind]
    return Fingerprint(item, recording_id, kind, begin + spec.lead, spec.hop, words)


def pack(differences: NDArray[np.float32], floor: float) -> NDArray[np.uint64]:
    """Words (count,) of differences (count, SIGNS).

    Bit k is set if difference k is positive, bit 32 + k if it is one of the WEAK smallest. A row whose mean magnitude
    is below `floor` has no information and becomes 0, which no other row can be.
    """
    magnitude = np.abs(differences)
    weakest = np.argsort(magnitude, axis=1, kind="stable")[:, :WEAK]
    weak = np.zeros(differences.shape, np.bool_)
    np.put_along_axis(weak, weakest, True, axis=1)
    both = np.concatenate([differences > 0, weak], axis=1)
    words = np.packbits(both, axis=1, bitorder="little").view("<u8").ravel().astype(np.uint64)
    words[magnitude.mean(axis=1) < floor] = 0
    return words


def signs(words: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """The lower half of each word."""
    return (words & SIGN_MASK).astype(np.uint32)


def weak_signs(words: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """The upper half of each word: the signs that are uncertain."""
    return (words >> np.uint64(SIGNS)).astype(np.uint32)


def short_hash(name: str) -> int:
    """First 64 bits of the name's SHA-256: a pseudorandom order of names."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:8], "big")
