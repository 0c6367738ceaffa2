"""Aligns two segments along a diagonal: decides if they match, from where to where, and how well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .fingerprint import SIGN_MASK, SIGNS, SPECS, Fingerprint, Kind


@dataclass(frozen=True)
class Bounds:
    """Thresholds of a match.

    `max_errors`: a copy differs in less than this share of the signs that are certain on both sides; unrelated audio
    differs in half. `smooth`: seconds over which that is averaged, to find where a match begins and ends. `max_mean`:
    the largest share of errors over the whole match. `bridge`: seconds of other content that do not end a match;
    silence of both never does. `min_distinct`: seconds of the match without those that repeat content of up to `repeat`
    seconds before: a loop of five seconds is evidence of five seconds, at any length.
    """

    max_errors: float
    max_mean: float
    smooth: float
    bridge: float
    min_distinct: float = 7.5
    repeat: float = 9.0


BOUNDS: dict[Kind, Bounds] = {
    # Errors of a copy at 24 to 40 kbit/s: 0.02 to 0.09; of the same rain or music under other audio: 0.14 to 0.2.
    "audio": Bounds(max_errors=0.3, max_mean=0.13, smooth=2.0, bridge=1.0),
    # Two videos that pan over one background make 0.2, a copy at 5 kbit/s and 5 frames per second 0.12.
    "picture": Bounds(max_errors=0.16, max_mean=0.16, smooth=3.0, bridge=2.0),
}


@dataclass(frozen=True, order=True)
class Match:
    """[start, end) seconds of `recording_id` are in `other_id`, `offset` seconds later there.

    `similarity`: 1 if no sign differs, 0 for unrelated audio.
    """

    recording_id: str
    other_id: str
    kind: Kind
    start: float
    end: float
    offset: float
    similarity: float

    def __post_init__(self) -> None:
        if not self.start < self.end:
            pair = f"{self.recording_id} and {self.other_id}"
            raise ValueError(f"match of {pair}: start {self.start} s must be before end {self.end} s")

    @property
    def recordings(self) -> frozenset[str]:
        """Both recordings."""
        return frozenset((self.recording_id, self.other_id))


OnFault = Callable[[str, str, Exception], None]
"""Receives the ids of two recordings that could not be compared, and the error."""
_ROUNDING = 1e-9
_SLACK = 3
"""Diagonals on each side of a search's result that are tried, too."""
_SHORTEST_LAG = 1.5
"""Seconds: words this close are computed from shared audio, so they are similar anyway."""
_REPEAT_SMOOTH = 1.5
_PIECE_SECONDS = 20.0
_TWICE, _MARGIN = 2.0, 0.08
"""An earlier word is a repetition if it makes at most twice the errors and a few more, and is itself a match."""


def align(one: Fingerprint, other: Fingerprint, diagonal: int, bounds: Bounds) -> list[Match]:
    """Matches along the best diagonal (index in `other` less index in `one`) near the given one, by time."""
    agreed = max(
        (_Diagonal(one, other, d) for d in range(diagonal - _SLACK, diagonal + _SLACK + 1)),
        key=lambda d: d.strength(bounds),
    )
    matches = (agreed.match(first, end, bounds) for first, end in agreed.runs(bounds))
    return [match for match in matches if match is not None]


class _Diagonal:
    """Words of two fingerprints side by side: word i of `one` beside word i + number of `other`."""

    def __init__(self, one: Fingerprint, other: Fingerprint, number: int) -> None:
        self.one, self.other, self.number = one, other, number
        self.first = max(0, -number)
        self.end = max(self.first, min(len(one.words), len(other.words) - number))
        self.errors, self.weight = differing(
            one.words[self.first : self.end], other.words[self.first + number : self.end + number]
        )

    def strength(self, bounds: Bounds) -> float:
        """Total evidence for this diagonal, over the time that supports it."""
        gain = self._gain(bounds)
        smooth = moving_mean(gain, self._count(bounds.smooth))
        return float(np.maximum(smooth, 0).sum())

    def runs(self, bounds: Bounds) -> list[tuple[int, int]]:
        """[start, end) indices of this diagonal's arrays in which the two agree."""
        gain = self._gain(bounds)
        if not len(gain):
            return []
        width = self._count(bounds.smooth)
        agree = moving_mean(gain, width) > _ROUNDING
        borders = np.flatnonzero(np.diff(agree, prepend=False, append=False))
        runs = [(int(a), int(b)) for a, b in zip(borders[::2], borders[1::2], strict=True)]
        total = np.concatenate([[0.0], np.cumsum(gain)])
        exact = [run for run in (_sharpened(run, total, width) for run in runs) if run[0] < run[1]]
        joined: list[tuple[int, int]] = []
        for first, end in exact:
            # Silence in both is no disagreement, at any length.
            if joined and np.count_nonzero(self.weight[joined[-1][1] : first]) <= self._count(bounds.bridge):
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((first, end))
        return joined

    def match(self, first: int, end: int, bounds: Bounds) -> Match | None:
        """The match of a run, or None if the evidence is too small."""
        errors, weight = self.errors[first:end], self.weight[first:end]
        spec = SPECS[self.one.kind]
        if not weight.any():
            return None
        mean = float(errors.sum() / weight.sum())
        if mean > bounds.max_mean or not self._is_distinct(first, end, bounds):
            return None
        offset = (self.other.start - self.one.start) + (self.number + self._fraction(first, end)) * spec.hop
        start = self.one.start + (self.first + first) * spec.hop
        stop = self.one.start + (self.first + end) * spec.hop
        # A run that reaches the end of the compared words extends to the end of either segment: the last word
        # represents half a window more.
        if first <= self._count(spec.lead):
            start = max(self.one.begin, self.other.begin - offset)
        if end >= len(self.errors) - self._count(spec.lead):
            stop = min(self.one.end, self.other.end - offset)
        similarity = max(0.0, 1.0 - 2.0 * mean)
        return Match(self.one.recording_id, self.other.recording_id, self.one.kind, start, stop, offset, similarity)

    def _count(self, seconds: float) -> int:
        return max(1, round(seconds / self.one.hop))

    def _gain(self, bounds: Bounds) -> NDArray[np.float64]:
        """Positive where a word supports the match; 0 where both sides have no information."""
        return np.where(self.weight > 0, bounds.max_errors - _share(self.errors, self.weight), 0.0)

    def _fraction(self, first: int, end: int) -> float:
        """Offset from this diagonal with the fewest errors, in words, -0.5 to 0.5 (a parabola through three)."""
        beside = [self._mean_errors(self.number + shift, first, end) for shift in (-1, 0, 1)]
        left, middle, right = beside
        bend = left - 2 * middle + right
        return 0.0 if bend <= 0 else float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))

    def _mean_errors(self, number: int, first: int, end: int) -> float:
        begin = max(self.first + first, -number, 0)
        stop = min(self.first + end, len(self.other.words) - number)
        errors, weight = differing(self.one.words[begin:stop], self.other.words[begin + number : stop + number])
        return float(errors.sum() / max(weight.sum(), 1))

    def _is_distinct(self, first: int, end: int, bounds: Bounds) -> bool:
        """True if enough of the run is more than a repetition of the other segment's recent content.

        A word is a repetition if an earlier word fits about as well. The copy of a ticking clock also fits an earlier
        tick, but worse: only the true position shares the noise between the ticks.
        """
        needed, width = bounds.min_distinct / self.one.hop, self._count(_REPEAT_SMOOTH)
        shortest, longest = self._count(_SHORTEST_LAG), self._count(bounds.repeat)
        distinct = 0
        for begin in range(first, end, self._count(_PIECE_SECONDS)):
            stop = min(end, begin + self._count(_PIECE_SECONDS))
            share = _share(self.errors[begin:stop], self.weight[begin:stop])
            limit = np.minimum(_TWICE * moving_mean(share, width) + _MARGIN, bounds.max_errors)
            # Row l of `earlier` has the words l + 1 before; before the run nothing fits.
            earlier = np.zeros((longest, stop - begin), np.uint64)
            mine = self.one.words[self.first + begin : self.first + stop]
            run = self.other.words[self.first + self.number + first : self.first + self.number + stop]
            for lag in range(shortest, min(longest, stop - first - 1) + 1):
                low = max(first + lag - begin, 0)
                earlier[lag - 1, low:] = run[begin + low - lag - first : stop - lag - first]
            again = moving_mean(_share(*differing(mine, earlier[shortest - 1 :])), width) <= limit
            distinct += int(np.count_nonzero((self.weight[begin:stop] > 0) & ~again.any(axis=0)))
            if distinct >= needed:
                return True
        return False


def differing(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(signs that differ, signs compared) of each pair of words: those certain on both sides.

    If only one has information, half of all signs differ; if both have none, nothing is compared.
    """
    sure = ~((one | other) >> np.uint64(SIGNS)) & SIGN_MASK
    weight = np.bitwise_count(sure).astype(np.float64)
    errors = np.bitwise_count((one ^ other) & sure).astype(np.float64)
    mine, theirs = one != 0, other != 0
    errors[mine != theirs] = weight[mine != theirs] / 2
    silent = ~(mine | theirs)
    errors[silent] = weight[silent] = 0.0
    return errors, weight


def _share(errors: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Errors by signs compared; half, as by chance, if none was compared."""
    return np.asarray(np.divide(errors, weight, out=np.full(errors.shape, 0.5), where=weight > 0))


def moving_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean over the `width` values around each along the last axis; over fewer at the ends."""
    count = values.shape[-1]
    total = np.zeros((*values.shape[:-1], count + 1))
    np.cumsum(values, axis=-1, out=total[..., 1:])
    position = np.arange(count)
    low, high = np.maximum(position - width // 2, 0), np.minimum(position + width - width // 2, count)
    return np.asarray((total[..., high] - total[..., low]) / (high - low))


def _sharpened(run: tuple[int, int], total: NDArray[np.float64], width: int) -> tuple[int, int]:
    """The run with each end moved, by at most `width`, to where the sum of the gain is largest."""
    first, end = run
    low, high = max(0, first - width), min(first + width, end)
    first = low + int(np.argmin(total[low : high + 1]))
    low, high = max(first, end - width), min(end + width, len(total) - 1)
    # the later of equal ones: a little silence that both share belongs to the match
    end = high - int(np.argmax(total[low : high + 1][::-1]))
    return first, end
