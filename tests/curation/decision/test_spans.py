"""Span salvage against brute force: nothing lost, nothing too short, and no shorter review is possible."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.decision.spans import Piece, partition, pure_spans, split_at_quiet
from manifests.time import Segment, Timeline

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


def test_many_doubts_are_quick() -> None:
    doubts = Timeline(Segment(65.0 * i, 65.0 * i + 1) for i in range(1, 600))
    pieces = partition(Segment(0, 40_000), doubts, 60.0, 10.0)
    assert sum(piece.segment.duration for piece in pieces) == pytest.approx(40_000)


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
