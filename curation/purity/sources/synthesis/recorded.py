"""Recorded speakers of the pool whose speech is made to sing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..pool import RATE, Pool, Source, Split
from .signals import Rng, Wave, between, level

LEAST = 8.0
"""Seconds of speech that a group needs to be used."""


@dataclass(frozen=True, eq=False)
class Recordings:
    """The speech of a pool by group: speakers, or packages of one speaker."""

    pool: Pool
    groups: Mapping[str, Sequence[int]]
    """The sources of each group, in the order of the pool."""

    @classmethod
    def of(cls, pool: Pool) -> Recordings:
        """The groups of a pool with recorded speech of LEAST seconds or more; synthetic packages are left out."""
        groups: dict[str, list[int]] = {}
        for index, source in enumerate(pool.sources):
            if source.kind == "speech" and not source.package.startswith("synthesis-") and source.seconds > 0.2:
                groups.setdefault(source.group, []).append(index)
        return cls(pool, {g: some for g, some in groups.items() if sum(pool.sources[i].seconds for i in some) >= LEAST})

    def names(self, split: Split) -> list[str]:
        """The groups of a split, sorted."""
        return sorted(group for group, some in self.groups.items() if self.source(group).split == split)

    def source(self, group: str) -> Source:
        """The first source of a group: its package, licence, category and split."""
        return self.pool.sources[self.groups[group][0]]

    def said(self, rng: Rng, group: str, seconds: float = 14.0) -> Wave:
        """Random sources of a group one after the other, to about `seconds`: float64 (n,) at RATE, at equal levels."""
        parts: list[Wave] = []
        total = 0.0
        for index in rng.permutation(self.groups[group]):
            speech = self.pool.samples(int(index))[: 8 * RATE].astype(float)
            parts += [level(speech) * 0.1, np.zeros(round(between(rng, 0.03, 0.15) * RATE))]
            total += len(speech) / RATE
            if total >= seconds:
                break
        return np.concatenate(parts)
