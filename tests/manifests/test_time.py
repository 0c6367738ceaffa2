"""Laws of time, against whole-number arithmetic and against masks of a coarse grid."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from manifests.time import Segment, Timeline, from_ms, shown_below, to_ms, to_ticks

GRID = 40  # cells of one second; the brute-force model is the set of covered cells
cells = st.integers(0, GRID)
# two different numbers in order, never drawn in vain: filtering half of them fails a health check now and then
grid_segments = st.integers(0, GRID - 1).flatmap(lambda a: st.integers(a + 1, GRID).map(lambda b: Segment(a, b)))
grid_timelines = st.lists(grid_segments, max_size=8).map(Timeline)
any_time = st.floats(-1e6, 1e6)
any_segments = st.lists(any_time, min_size=2, max_size=2, unique=True).map(sorted).map(lambda p: Segment(*p))
any_timelines = st.lists(any_segments, max_size=8).map(Timeline)
rates = st.sampled_from([1.0, 25.0, 29.97, 30000 / 1001, 31.25, 62.5, 100.0, 1000.0, 16000.0, 44100.0, 192000.0])


def covered(timeline: Timeline | Segment) -> set[int]:
    segments = [timeline] if isinstance(timeline, Segment) else timeline.segments
    return {cell for cell in range(-3 * GRID, 4 * GRID) if any(s.start <= cell < s.end for s in segments)}


def runs(cells: set[int]) -> list[tuple[int, int]]:
    starts = sorted(cell for cell in cells if cell - 1 not in cells)
    ends = sorted(cell + 1 for cell in cells if cell + 1 not in cells)
    return list(zip(starts, ends, strict=True))


def pairs(timeline: Timeline) -> list[tuple[float, float]]:
    return [(s.start, s.end) for s in timeline]


# to_ticks


@given(st.integers(-(10**12), 10**12))
@example(500)
@example(500_500)
@example(-500)
def test_milliseconds_are_those_of_whole_microseconds(us: int) -> None:
    assert to_ms(us / 1_000_000) == (us + 500) // 1000


@given(st.integers(-(10**9), 10**9), rates)
def test_a_tick_comes_back_from_its_time(tick: int, rate: float) -> None:
    assert to_ticks(tick / rate, rate) == tick


@given(st.integers(-(10**10), 10**10))
def test_a_millisecond_comes_back_from_seconds(ms: int) -> None:
    assert to_ms(from_ms(ms)) == ms


@given(any_time, any_time, rates)
def test_ticks_are_nearest_and_never_go_back(first: float, second: float, rate: float) -> None:
    assert abs(to_ticks(first, rate) - first * rate) <= 0.5 + 1e-6 + math.ulp(first * rate)
    assert (to_ticks(first, rate) <= to_ticks(second, rate)) or first > second


@pytest.mark.parametrize(
    ("seconds", "rate", "ticks"),
    [(0.29, 100, 29), (0.0005, 1000, 1), (0.5005, 1000, 501), (-0.0005, 1000, 0), (2.5, 1, 3), (0.49, 1, 0)],
)
def test_halves_go_up_and_float_noise_does_not_count(seconds: float, rate: float, ticks: int) -> None:
    assert to_ticks(seconds, rate) == ticks


@pytest.mark.parametrize(("seconds", "rate"), [(math.nan, 1), (math.inf, 1), (1, 0), (1, -1), (1, math.nan)])
def test_what_has_no_tick_is_refused(seconds: float, rate: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        to_ticks(seconds, rate)


# Segment


@pytest.mark.parametrize(("start", "end"), [(1, 1), (2, 1), (math.nan, 1), (0, math.nan), (0, math.inf)])
def test_an_invalid_segment_cannot_be_made(start: float, end: float) -> None:
    with pytest.raises(ValueError, match="segment"):
        Segment(start, end)


@given(any_segments, any_segments)
def test_intersection_is_what_both_contain(a: Segment, b: Segment) -> None:
    both = a & b
    assert (both is not None) == a.overlaps(b) == b.overlaps(a)
    assert both == (b & a)
    for instant in (a.start, a.end, b.start, b.end):
        assert (both is not None and both.contains(instant)) == (a.contains(instant) and b.contains(instant))


def test_a_segment_is_half_open_and_plain() -> None:
    segment = Segment(np.float64(0.5), 2)
    assert repr(segment) == "Segment(start=0.5, end=2.0)"
    assert (segment.duration, segment.contains(0.5), segment.contains(2.0)) == (1.5, True, False)
    assert not segment.overlaps(Segment(2, 3))
    assert Segment(0.0004, 1.0006).to_ms() == Segment(0.0, 1.001)
    with pytest.raises(ValueError, match="segment"):
        Segment(1.0001, 1.0002).to_ms()


# Timeline against the model


@given(st.lists(grid_segments, max_size=8))
def test_a_timeline_is_sorted_disjoint_and_blind_to_order(segments: list[Segment]) -> None:
    timeline = Timeline(segments)
    assert pairs(timeline) == runs(set().union(*map(covered, segments)))
    assert Timeline(reversed(segments)) == timeline == Timeline(timeline)
    assert hash(Timeline(reversed(segments))) == hash(timeline)
    assert (len(timeline), bool(timeline)) == (len(timeline.segments), bool(segments))


OPERATIONS: list[tuple[Callable[..., Timeline], Callable[..., set[int]]]] = [
    (Timeline.__or__, set.__or__),
    (Timeline.__and__, set.__and__),
    (Timeline.__sub__, set.__sub__),
]


@given(grid_timelines, grid_timelines, st.sampled_from(OPERATIONS))
def test_operators_are_those_of_sets(
    a: Timeline, b: Timeline, operation: tuple[Callable[..., Timeline], Callable[..., set[int]]]
) -> None:
    ours, model = operation
    assert pairs(ours(a, b)) == runs(model(covered(a), covered(b)))


@given(grid_timelines, grid_segments)
def test_windows(timeline: Timeline, window: Segment) -> None:
    inside = covered(timeline) & covered(window)
    assert pairs(timeline.crop(window)) == runs(inside)
    assert pairs(timeline.gaps(window)) == runs(covered(window) - covered(timeline))
    assert timeline.covers(window) == (covered(window) <= covered(timeline))
    whole = [run for run in runs(covered(timeline)) if covered(Segment(*run)) & covered(window)]
    assert pairs(timeline.overlapping(window)) == whole


@given(grid_timelines, st.integers(-5, 5), st.none() | st.integers(-5, 5))
@example(Timeline([Segment(10, 20)]), 3, 0)
def test_padding_moves_every_end(timeline: Timeline, before: int, after: int | None) -> None:
    behind = before if after is None else after
    grown: set[int] = set()
    for start, end in runs(covered(timeline)):
        grown |= set(range(start - before, end + behind))
    assert pairs(timeline.pad(before, after)) == runs(grown)


@given(grid_timelines, st.integers(-GRID, GRID))
def test_shifting_moves_every_second(timeline: Timeline, seconds: int) -> None:
    assert pairs(timeline.shift(seconds)) == runs({second + seconds for second in covered(timeline)})


times = st.floats(-1e4, 1e4)
slivers = st.builds(lambda start: Segment(start, math.nextafter(start, math.inf)), times)


@given(st.lists(slivers, max_size=4).map(Timeline), st.lists(slivers, max_size=4).map(Timeline), times)
@example(Timeline([Segment(0.1, math.nextafter(0.1, 1))]), Timeline.EMPTY, 100.0)
def test_slivers_of_a_rounding_error_disappear_or_stay_and_raise_nothing(a: Timeline, b: Timeline, by: float) -> None:
    for made in (a.shift(by), a.pad(by), a | b, a & b, a - b, a.merge_gaps(abs(by)), a.to_ms(), (a & b).shift(-by)):
        assert all(segment.start < segment.end for segment in made)
    assert Timeline([Segment(0.1, math.nextafter(0.1, 1))]).shift(100.0) == Timeline.EMPTY


@given(grid_timelines, st.integers(0, GRID))
def test_lengths(timeline: Timeline, seconds: int) -> None:
    model = runs(covered(timeline))
    assert pairs(timeline.at_least(seconds)) == [run for run in model if run[1] - run[0] >= seconds]
    assert timeline.duration == len(covered(timeline))
    assert timeline.extent == (Segment(model[0][0], model[-1][1]) if model else None)
    gaps = runs(set(range(model[0][0], model[-1][1])) - covered(timeline)) if model else []
    closed = {cell for gap in gaps if gap[1] - gap[0] <= seconds for cell in range(*gap)}
    assert pairs(timeline.merge_gaps(seconds)) == runs(covered(timeline) | closed)


# Timeline with any floats: ends are copied, never computed, so the laws hold exactly


@given(any_timelines, any_timelines, any_timelines)
def test_algebra(a: Timeline, b: Timeline, c: Timeline) -> None:
    assert a | b == b | a and a & b == b & a
    assert (a - b) | (a & b) == a
    assert not (a - b) & b
    assert a - (b | c) == (a - b) - c
    assert a & (b | c) == (a & b) | (a & c)
    assert a | (a & b) == a == a & (a | b)
    assert pickle.loads(pickle.dumps(a)) == a


def test_thresholds_do_not_turn_on_float_noise() -> None:
    # 183.456 - 123.456 is 59.99999999999999 and 0.8 - 0.5 is 0.30000000000000004.
    assert Timeline([Segment(123.456, 183.456)]).at_least(60)
    assert len(Timeline([Segment(0, 0.5), Segment(0.8, 1)]).merge_gaps(0.3)) == 1
    assert not Timeline([Segment(0, 59.999)]).at_least(60)
    assert len(Timeline([Segment(0, 0.5), Segment(0.801, 1)]).merge_gaps(0.3)) == 2


def test_thousands_of_segments_take_no_time() -> None:
    odd = Timeline(Segment(i, i + 0.5) for i in range(50_000))
    even = Timeline(Segment(i + 0.25, i + 0.75) for i in range(50_000))
    # A quadratic sweep would take minutes.
    assert len((odd & even) - (odd - even)) == 50_000 and len(odd | even) == 50_000


# Masks


@given(st.lists(st.booleans(), max_size=60), rates, st.floats(-100, 100000))
def test_a_mask_comes_back(frames: list[bool], rate: float, start: float) -> None:
    mask = np.array(frames, np.bool_)
    assert np.array_equal(Timeline.from_mask(mask, 1 / rate, start).mask(1 / rate, len(mask), start), mask)


@given(grid_timelines)
def test_a_mask_is_the_model(timeline: Timeline) -> None:
    mask = timeline.mask(1.0, GRID)
    assert set(np.flatnonzero(mask).tolist()) == covered(timeline)
    assert Timeline.from_mask(mask, 1.0) == timeline


@given(st.floats(0.001, 1000), st.floats(0.001, 1000), st.floats(0.01, 10))
def test_touching_segments_share_no_frame(middle: float, length: float, hop: float) -> None:
    first, second = Segment(0, middle), Segment(middle, middle + length)
    masks = [Timeline([segment]).mask(hop, 1000) for segment in (first, second)]
    assert not (masks[0] & masks[1]).any()
    assert np.array_equal(masks[0] | masks[1], Timeline([first, second]).mask(hop, 1000))


def test_a_mask_rounds_ends_and_drops_what_lies_outside() -> None:
    timeline = Timeline([Segment(-5, 0.4), Segment(1.5, 2.4), Segment(3, 99)])
    assert timeline.mask(1.0, 5).tolist() == [False, False, False, True, True]
    assert timeline.mask(1.0, 3, start=1.4).tolist() == [True, False, True]


def test_only_masks_are_masks() -> None:
    wrong: list[Any] = [np.zeros(3), np.zeros((2, 2), np.bool_)]
    for array in wrong:
        with pytest.raises(ValueError, match="mask has shape"):
            Timeline.from_mask(array, 0.1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.0, "1.0"), (59.94, "59.9"), (59.96, "59.96"), (59.999, "59.999"), (59.9999999, "59.9999999"), (60.04, "60.0")],
)
def test_a_time_below_its_limit_is_shown_below_it(seconds: float, text: str) -> None:
    assert shown_below(seconds, 60.0) == text


@given(st.floats(0, 1e5), st.floats(1e-3, 1e5))
def test_no_shown_time_crosses_its_limit(seconds: float, limit: float) -> None:
    text = shown_below(seconds, limit)
    assert (float(text) < limit) or not seconds < limit
    assert abs(float(text) - seconds) <= 0.05 + 1e-9
