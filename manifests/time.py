"""Time: half-open spans of seconds, sets of them, and the one rule that turns seconds into whole numbers.

Zero is the earliest start of any stream of a recording. Seconds are floats everywhere; samples, frames and
milliseconds are whole numbers, and only `to_ticks` makes them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

# Subtracting two times leaves noise of about 1e-12 s. Nobody means a difference this small, so no threshold
# may turn on it: 183.456 - 123.456 is still "at least 60 s".
_NOISE_SECONDS = 1e-9


def to_ticks(seconds: float, rate: float) -> int:
    """The whole tick nearest to `seconds` at `rate` ticks a second (samples, frames, milliseconds).

    Halves go up, for negative times too, so a shift by whole ticks never changes the rounding. A half is
    judged on the product rounded to a millionth of a tick: 0.5005 s is 501 ms, though 0.5005 * 1000 is
    500.49999999999994. Raises ValueError for non-finite input or a rate that is not above 0.
    """
    if not rate > 0 or not math.isfinite(rate):
        raise ValueError(f"rate is {rate} ticks a second, must be finite and above 0")
    if not math.isfinite(seconds):
        raise ValueError(f"time is {seconds} s, must be finite")
    return math.floor(round(float(seconds) * float(rate), 6) + 0.5)


def to_ms(seconds: float) -> int:
    """Whole milliseconds nearest to `seconds`."""
    return to_ticks(seconds, 1000)


def shown_below(seconds: float, limit: float) -> str:
    """`seconds` with one decimal, or as many as show that it is below `limit` where it is: 59.999 of 60, never 60.0."""
    decimals = 1
    while seconds < limit <= round(seconds, decimals):
        decimals += 1
    return f"{seconds:.{decimals}f}"


def from_ms(ms: int) -> float:
    """Seconds of whole milliseconds; `to_ms` gives the same number back."""
    return ms / 1000


@dataclass(frozen=True, order=True, slots=True)
class Segment:
    """The span [start, end) in seconds, finite and never empty; ordered by start, then end."""

    start: float
    end: float

    def __post_init__(self) -> None:
        # Whole numbers and NumPy scalars come in; floats stay, so that all segments print and hash alike.
        object.__setattr__(self, "start", float(self.start))
        object.__setattr__(self, "end", float(self.end))
        if not (math.isfinite(self.start) and math.isfinite(self.end)):
            raise ValueError(f"segment [{self.start}, {self.end}) s must be finite")
        if self.start >= self.end:
            raise ValueError(f"segment [{self.start}, {self.end}) s must start before it ends")

    @property
    def duration(self) -> float:
        """Length in seconds, above 0."""
        return self.end - self.start

    def overlaps(self, other: Segment) -> bool:
        """True if the two share time; touching is not sharing."""
        return self.start < other.end and other.start < self.end

    def intersection(self, other: Segment) -> Segment | None:
        """The time both share, or None."""
        if not self.overlaps(other):
            return None
        return Segment(max(self.start, other.start), min(self.end, other.end))

    __and__ = intersection

    def contains(self, seconds: float) -> bool:
        """True if the instant lies in [start, end)."""
        return self.start <= seconds < self.end

    def to_ms(self) -> Segment:
        """Both ends on the nearest whole millisecond. Raises ValueError when both land on the same one."""
        return Segment(from_ms(to_ms(self.start)), from_ms(to_ms(self.end)))


@dataclass(frozen=True, init=False, slots=True)
class Timeline:
    """A set of instants, kept as sorted, disjoint segments; segments that touch or overlap are merged."""

    segments: tuple[Segment, ...]
    EMPTY: ClassVar[Timeline]
    """No time at all."""

    def __init__(self, segments: Iterable[Segment] = ()) -> None:
        object.__setattr__(self, "segments", _merged(segments))

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.segments)

    def __len__(self) -> int:
        return len(self.segments)

    def __or__(self, other: Timeline) -> Timeline:
        return Timeline((*self.segments, *other.segments))

    def __and__(self, other: Timeline) -> Timeline:
        shared, mine, theirs = [], 0, 0
        while mine < len(self.segments) and theirs < len(other.segments):
            a, b = self.segments[mine], other.segments[theirs]
            if (both := a & b) is not None:
                shared.append(both)
            # Only what ends first can have no further partner.
            mine, theirs = (mine + 1, theirs) if a.end <= b.end else (mine, theirs + 1)
        return Timeline(shared)

    def __sub__(self, other: Timeline) -> Timeline:
        left, first = [], 0
        for segment in self.segments:
            while first < len(other.segments) and other.segments[first].end <= segment.start:
                first += 1
            start, index = segment.start, first
            while index < len(other.segments) and other.segments[index].start < segment.end:
                hole = other.segments[index]
                if start < hole.start:
                    left.append(Segment(start, hole.start))
                start = hole.end
                index += 1
            if start < segment.end:
                left.append(Segment(start, segment.end))
            # The last hole may reach into the next segment; the ones before it cannot.
            first = max(first, index - 1)
        return Timeline(left)

    def gaps(self, within: Segment) -> Timeline:
        """The time of `within` that no segment covers."""
        return Timeline([within]) - self

    def crop(self, within: Segment) -> Timeline:
        """The time inside `within`, cut at its ends."""
        return self & Timeline([within])

    def pad(self, before: float, after: float | None = None) -> Timeline:
        """Every segment longer by `before` and `after` seconds (`after` None: as `before`).

        Negative values shorten; a segment with nothing left disappears. Times may fall below 0: crop after.
        """
        behind = before if after is None else after
        ends = ((segment.start - before, segment.end + behind) for segment in self.segments)
        return Timeline(Segment(start, end) for start, end in ends if start < end)

    def shift(self, seconds: float) -> Timeline:
        """The same time, later by `seconds`, without the segments of which rounding leaves nothing there."""
        ends = ((segment.start + seconds, segment.end + seconds) for segment in self.segments)
        return Timeline(Segment(start, end) for start, end in ends if start < end)

    def merge_gaps(self, max_gap: float) -> Timeline:
        """Gaps of up to `max_gap` seconds between neighbours closed."""
        gaps = (Segment(a.end, b.start) for a, b in pairwise(self.segments))
        return self | Timeline(gap for gap in gaps if gap.duration <= max_gap + _NOISE_SECONDS)

    def at_least(self, seconds: float) -> Timeline:
        """Only the segments of `seconds` or more."""
        return Timeline(s for s in self.segments if s.duration >= seconds - _NOISE_SECONDS)

    def to_ms(self) -> Timeline:
        """All ends on the nearest whole milliseconds, without the segments that this leaves empty."""
        return Timeline.from_ms_pairs(self.ms_pairs())

    def ms_pairs(self) -> list[list[int]]:
        """[start, end] of every segment in whole milliseconds, as JSON holds it; empty ones included."""
        return [[to_ms(segment.start), to_ms(segment.end)] for segment in self.segments]

    @classmethod
    def from_ms_pairs(cls, pairs: Iterable[Sequence[int]]) -> Timeline:
        """The timeline of `ms_pairs`, without empty segments."""
        return cls(Segment(from_ms(start), from_ms(end)) for start, end in pairs if start < end)

    @property
    def duration(self) -> float:
        """Covered seconds in all."""
        return math.fsum(segment.duration for segment in self.segments)

    @property
    def extent(self) -> Segment | None:
        """From the first start to the last end, or None when empty."""
        return Segment(self.segments[0].start, self.segments[-1].end) if self.segments else None

    def covers(self, segment: Segment) -> bool:
        """True if every instant of `segment` is covered."""
        index = bisect_right(self.segments, segment.start, key=_start) - 1
        return index >= 0 and segment.end <= self.segments[index].end

    def overlapping(self, segment: Segment) -> Timeline:
        """The whole segments that share time with `segment`, uncut."""
        return Timeline(s for s in self.segments if s.overlaps(segment))

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_], hop: float, start: float = 0.0) -> Timeline:
        """The true frames of a bool array (count,); frame i is `hop` seconds from start + i * hop."""
        if mask.ndim != 1 or mask.dtype != np.bool_:
            raise ValueError(f"mask has shape {mask.shape} and type {mask.dtype}, must be (count,) of bool")
        edges = np.flatnonzero(np.diff(mask, prepend=False, append=False)).tolist()
        runs = zip(edges[::2], edges[1::2], strict=True)
        return cls(Segment(start + first * hop, start + end * hop) for first, end in runs)

    def mask(self, hop: float, count: int, start: float = 0.0) -> NDArray[np.bool_]:
        """Bool array (count,) over frames as in `from_mask`, segment ends rounded to the nearest frame edge.

        Frames that `from_mask` made come back as they were; segments that touch never share a frame.
        """
        frames = np.zeros(count, np.bool_)
        for segment in self.segments:
            first, end = to_ticks(segment.start - start, 1 / hop), to_ticks(segment.end - start, 1 / hop)
            frames[max(first, 0) : max(end, 0)] = True
        return frames


def _start(segment: Segment) -> float:
    return segment.start


def _merged(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    merged: list[Segment] = []
    for segment in sorted(segments):
        if merged and segment.start <= merged[-1].end:
            if segment.end > merged[-1].end:
                merged[-1] = Segment(merged[-1].start, segment.end)
        else:
            merged.append(segment)
    return tuple(merged)


Timeline.EMPTY = Timeline()
