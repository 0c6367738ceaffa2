"""Finds dropouts: places where audio collapses to silence, or to a held value, and returns as it was.

Lost packets are concealed as zeros or as the last sample held, sometimes before another encoding that smears the edges
by a few milliseconds. Clock ticks, footsteps and gated recordings are quiet between events, too: there the quiet is the
usual noise floor, or the audio before and after it differs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHORTEST, LONGEST = 4, 2000  # bins; 5 ms contain at least four whole ones
FALL_DB = 40.0  # a dropout is this far below the audio on both sides
EDGE = 12  # bins within which the audio collapses: a codec's window smears it, a room takes ten times as long
BESIDE = 16  # bins of audio that represent the level before and after
AT_ONCE = 3  # bins: no codec smeared this fall, and only a fault is as quick
ALIKE_DB = (25.0, 15.0)  # the largest difference of audio before and after: for a sudden fall, and for a smeared one
EMPTY_DB = -85.0  # the most that remains inside
SOUND_DB = -75.0  # the least beside it
FLOOR_DB = -140.0
CEILING_DB = 1.0  # a held value this close to the highest level around is a clipped peak
AROUND = 1000  # bins on each side whose usual floor is above a dropout
QUIET_SHARE = 0.3  # of those bins: the pauses of the audio itself
CONTEXT = AROUND + LONGEST + BESIDE  # bins after a dropout that are needed to classify it
BEFORE = AROUND + EDGE + BESIDE


class Dropouts:
    """Finds dropouts in a stream of bins of one millisecond, in pieces of any size."""

    def __init__(self) -> None:
        self._changes: NDArray[np.float32] = np.zeros(0, np.float32)  # dB, from bin `_origin` on
        self._levels: NDArray[np.float32] = np.zeros(0, np.float32)
        self._origin = 0
        self._next = 0  # first bin that is not classified
        self._dropouts: list[tuple[int, int]] = []

    def push(self, change: NDArray[np.float32], power: NDArray[np.float32]) -> None:
        """Add the mean square of the samples' differences, and of the samples, by bin, shape (bins,) each."""
        floor = 10 ** (FLOOR_DB / 10)
        self._changes = np.concatenate([self._changes, 10 * np.log10(np.maximum(change, floor))])
        self._levels = np.concatenate([self._levels, 10 * np.log10(np.maximum(power, floor))])
        self._classify(self._origin + len(self._changes) - CONTEXT)
        behind = max(self._next - BEFORE - self._origin, 0)
        if behind > 10 * AROUND:
            self._changes, self._levels = self._changes[behind:], self._levels[behind:]
            self._origin += behind

    def finish(self) -> list[tuple[int, int]]:
        """All dropouts as (first bin, bin after the last)."""
        self._classify(self._origin + len(self._changes))
        return self._dropouts

    def _classify(self, end: int) -> None:
        """Classify all falls that begin before bin `end`."""
        first = max(self._next, EDGE + BESIDE)
        if end <= first:
            return
        at = np.arange(first, end) - self._origin
        peak = self._changes[at - 1]
        for back in range(2, EDGE + 1):
            peak = np.maximum(peak, self._changes[at - back])
        falls = at[(self._changes[at] <= peak - FALL_DB) & (self._changes[at] <= EMPTY_DB) & (peak > SOUND_DB)]
        for fall in falls.tolist():
            if fall + self._origin >= self._next:
                self._add_dropout(fall)
        self._next = max(self._next, end)

    def _add_dropout(self, fall: int) -> None:
        """Record the dropout that begins near bin `fall` of the held bins, if it is one."""
        changes = self._changes
        near = changes[fall - EDGE : fall]
        peak = float(near.max())
        last = fall - EDGE + int(np.flatnonzero(near >= peak - 10.0)[-1])  # the last bin of full audio
        smeared = fall - last > AT_ONCE
        before = float(np.median(changes[last + 1 - BESIDE : last + 1]))
        if before < SOUND_DB:
            return
        ahead = changes[fall : fall + LONGEST + 1]
        loud = np.flatnonzero(ahead >= before - FALL_DB + 10.0)
        if not len(loud) or loud[0] < SHORTEST:
            return
        back = fall + int(loud[0])  # the first bin of audio again
        after = float(np.median(changes[back : back + BESIDE]))
        hole = float(np.percentile(changes[fall:back], 75))
        beside = min(before, after)
        if abs(after - before) > ALIKE_DB[smeared] or hole > min(beside - FALL_DB, EMPTY_DB):
            return
        around = np.concatenate([changes[max(0, last + 1 - AROUND) : last + 1], changes[back : back + AROUND]])
        if float(np.quantile(around, QUIET_SHARE)) < hole + FALL_DB / 2:
            return
        held = float(np.median(self._levels[fall:back]))
        level = max(float(self._levels[max(0, fall - 100) : fall].max()), float(self._levels[back : back + 100].max()))
        if held >= level - CEILING_DB:
            return
        self._dropouts.append((fall + self._origin, back + self._origin))
        self._next = back + self._origin
