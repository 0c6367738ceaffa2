"""Span salvage against brute force: nothing lost, nothing too short, and no shorter review is possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curation.decision import spans
from curation.decision.spans import Piece, _placements, partition, pure_spans, split_at_quiet
from manifests.time import Segment, Timeline
from tests.support.reference_partition import reference_partition

MIN = 6.0


def cost(pieces: list[Piece], discard_weight: float) -> float:
    weights = {"accept": 0.0, "review": 1.0, "discard": discard_weight}
    return sum(weights[piece.kind] * piece.segment.duration for piece in pieces)


def least_cost(length: int, doubt: tuple[bool, ...], discard_weight: float) -> float:
    """By trying every way to lay pieces of whole seconds."""

    @cache
    def best(at: int, after_accepted: bool) -> float:
        if at == length:
            return 0.0
        options = [float("inf")]
        for end in range(at + 1, length + 1):
            options.append(discard_weight * (end - at) + best(end, False))
            if end - at >= MIN:
                options.append(end - at + best(end, False))
                if not after_accepted and not any(doubt[at:end]):
                    options.append(best(end, True))
        return min(options)

    return best(0, False)


@given(st.lists(st.booleans(), min_size=6, max_size=24), st.sampled_from([1.5, 3.0, 10.0, 100.0]))
def test_partition_costs_the_least_there_is(doubtful: list[bool], discard_weight: float) -> None:
    span = Segment(0, len(doubtful))
    doubts = Timeline.from_mask(np.array(doubtful), 1.0)
    pieces = partition(span, doubts, MIN, discard_weight)

    assert pieces[0].segment.start == span.start and pieces[-1].segment.end == span.end
    assert all(a.segment.end == b.segment.start for a, b in pairwise(pieces))
    assert all(piece.segment.duration >= MIN - 1e-9 for piece in pieces if piece.kind != "discard")
    accepted = Timeline(piece.segment for piece in pieces if piece.kind == "accept")
    assert not accepted & doubts
    assert all(doubts.overlapping(piece.segment) for piece in pieces if piece.kind != "accept")
    assert cost(pieces, discard_weight) == pytest.approx(least_cost(len(doubtful), tuple(doubtful), discard_weight))


@given(
    st.floats(60, 4000),
    st.lists(st.tuples(st.floats(0, 4000), st.floats(0.04, 90)), max_size=40),
)
def test_partition_never_loses_or_shortens(length: float, starts: list[tuple[float, float]]) -> None:
    span = Segment(7.0, 7.0 + length)
    doubts = Timeline(Segment(start, start + duration) for start, duration in starts)
    pieces = partition(span, doubts, 60.0, 10.0)
    assert Timeline(piece.segment for piece in pieces) == Timeline([span])
    assert sum(piece.segment.duration for piece in pieces) == pytest.approx(length)
    assert all(piece.segment.duration >= 60 - 1e-6 for piece in pieces if piece.kind != "discard")
    for piece in pieces:
        touched = doubts.crop(piece.segment).duration
        assert touched < 1e-6 if piece.kind == "accept" else touched > 0


def test_a_long_doubt_is_heard_a_short_one_at_the_edge_is_given_up() -> None:
    pieces = partition(Segment(0, 200), Timeline([Segment(100, 107)]), 60.0, 10.0)
    assert [piece.kind for piece in pieces] == ["accept", "review", "accept"]
    assert cost(pieces, 10.0) == 60
    pieces = partition(Segment(0, 70), Timeline([Segment(1, 2)]), 60.0, 10.0)
    assert [(piece.segment, piece.kind) for piece in pieces] == [
        (Segment(0, 2), "discard"),
        (Segment(2, 70), "accept"),
    ]


@st.composite
def problems(draw: st.DrawFn) -> tuple[Segment, Timeline, float, float]:
    """Arguments of `partition`: up to 60 uncertain segments, with gaps and lengths around the limits that decide."""
    min_duration = draw(st.sampled_from([6.0, 7.3, 60.0]))
    grid = draw(st.sampled_from([1.0, 0.5, 0.04, None]))
    count = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def seconds(ratio: float) -> float:
        """A multiple of `min_duration`, on the grid."""
        return ratio * min_duration if grid is None else round(ratio * min_duration / grid) * grid

    usual, spread = (
        draw(st.sampled_from([0.3, 1.0, 1.02, 1.1, 1.5, 2.0, 3.0])),
        draw(st.sampled_from([0, 0.02, 0.1, 1])),
    )
    gaps = usual * (1 + spread * rng.uniform(-0.5, 1, count))
    gaps[rng.random(count) < 0.1] = 1.0
    lengths = rng.uniform(0.002, draw(st.sampled_from([0.01, 0.05, 0.3, 1.0, 1.5])), count)
    if draw(st.booleans()):
        lengths[:] = lengths[0]
    start = seconds(draw(st.sampled_from([0.0, 0.7, 1200.0])))
    at, uncertain = start + seconds(draw(st.sampled_from([0.0, 1.0, 2.0]) | st.floats(0.0, 2.2))), []
    for gap, length in zip(gaps, lengths, strict=True):
        uncertain.append(Segment(at, at + (seconds(length) or grid or 0.01)))
        at = uncertain[-1].end + seconds(gap)
    end = uncertain[-1].end + draw(st.sampled_from([-0.001, 0.0, seconds(1.0)]) | st.floats(0.0, 2.2).map(seconds))
    if draw(st.integers(0, 19)) == 0:
        end = start
    span = Segment(start, max(end, start + min_duration))
    return span, Timeline(uncertain), min_duration, draw(st.sampled_from([1.5, 3.0, 10.0, 100.0]))


def test_the_last_piece_is_chosen_by_its_cost_up_to_the_end_of_the_span() -> None:
    pieces = partition(Segment(0, 130), Timeline([Segment(72, 73)]), 60.0, 100.0)
    assert [(piece.segment, piece.kind) for piece in pieces] == [
        (Segment(0, 70), "accept"),
        (Segment(70, 130), "review"),
    ]


# two ways cost the same but for rounding, which the lower bound must not decide
ROUNDED = Timeline(Segment(start, start + 1) for start in (15, 27, 39, 51, 63, 75, 87, 99, 107, 119, 131, 143))


@settings(deadline=None, max_examples=1000)
@given(problems())
@example((Segment(0, 151.3), ROUNDED, 7.3, 10.0))
def test_partition_skips_only_what_cannot_win(problem: tuple[Segment, Timeline, float, float]) -> None:
    assert partition(*problem) == reference_partition(*problem)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(5, 15), st.integers(1, 8)), min_size=1, max_size=60),
    st.integers(0, 14),
    st.integers(0, 14),
    st.sampled_from([1.5, 2.0, 3.0, 10.0, 100.0]),
)
def test_partition_breaks_ties_as_the_reference(
    steps: list[tuple[int, int]], before: int, after: int, discard_weight: float
) -> None:
    starts = accumulate((gap + length for gap, length in steps), initial=before)
    uncertain = Timeline(Segment(start, start + length) for start, (_, length) in zip(starts, steps, strict=False))
    assert uncertain.extent is not None
    span = Segment(0, max(uncertain.extent.end + after, MIN))
    assert partition(span, uncertain, MIN, discard_weight) == reference_partition(span, uncertain, MIN, discard_weight)


def every(period: float, count: int) -> list[tuple[float, float]]:
    return [(period * number, period * number + 1) for number in range(1, count + 1)]


def clusters(count: int) -> list[tuple[float, float]]:
    starts = np.random.default_rng(1).uniform(0, 250 * count / 4, (count // 4, 1)) + np.arange(4) * 7.0
    return [(start, start + 3) for start in sorted(starts.ravel().tolist())]


def chain(count: int) -> list[tuple[float, float]]:
    """Segments a little more than `min_duration` apart, so that neighbours compete for the time between them."""
    rng = np.random.default_rng(2)
    starts = np.cumsum(rng.uniform(60.2, 63, count) + 3)
    return [(start, start + rng.uniform(0.04, 3)) for start in starts.tolist()]


@pytest.mark.parametrize("discard_weight", [1.5, 10.0, 100.0])
@pytest.mark.parametrize(
    "segments",
    [partial(every, 65.0), partial(every, 61.0), partial(every, 121.0), partial(every, 5.0), clusters, chain],
    ids=["65 s", "61 s", "121 s", "5 s", "clusters", "chain"],
)
def test_work_grows_with_the_number_of_uncertain_segments(
    segments: Callable[[int], list[tuple[float, float]]], discard_weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def placements(count: int) -> int:
        tried = 0

        def counted(*arguments: Any) -> Iterator[Any]:
            nonlocal tried
            for placement in _placements(*arguments):
                tried += 1
                yield placement

        monkeypatch.setattr(spans, "_placements", counted)
        uncertain = Timeline(Segment(start, end) for start, end in segments(count))
        assert uncertain.extent is not None
        partition(Segment(0, uncertain.extent.end + 30), uncertain, 60.0, discard_weight)
        return tried

    few, many = placements(200), placements(1400)
    assert 0 < few <= 10 * 200
    assert many <= 10 * 1400


def test_pure_spans_keep_the_one_on_the_threshold() -> None:
    excluded = Timeline([Segment(60, 61), Segment(120.9, 130)])
    assert list(pure_spans(Segment(0, 200), excluded, 60.0)) == [Segment(0, 60), Segment(130, 200)]


@given(st.floats(0, 50), st.floats(121, 2000), st.integers(0, 2**32 - 1))
def test_splits_fit_and_cover(start: float, length: float, seed: int) -> None:
    loudness = np.random.default_rng(seed).uniform(-90, 0, int((start + length) / 0.04) + 2).astype(np.float32)
    parts = split_at_quiet(Segment(start, start + length), loudness, 0.04, min_duration=60, max_duration=120)
    assert parts[0].start == start and parts[-1].end == start + length
    assert all(a.end == b.start for a, b in pairwise(parts))
    assert all(60 - 1e-6 <= part.duration <= 120 + 1e-6 for part in parts)


def test_split_takes_the_quiet_point() -> None:
    loudness = np.full(int(400 / 0.04), -20.0, np.float32)
    loudness[int(170 / 0.04) : int(170.04 / 0.04) + 1] = -80.0
    first, second = split_at_quiet(Segment(0, 350), loudness, 0.04, min_duration=60, max_duration=300)
    assert first.end == pytest.approx(170.02, abs=0.05)
    assert second.end == 350
    assert split_at_quiet(Segment(0, 300), loudness, 0.04, min_duration=60, max_duration=300) == [Segment(0, 300)]
