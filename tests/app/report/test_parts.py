"""The report's parts without a corpus: which sound fits into a page, how names and figures are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.display import text as words
from app.report.previews import Sound, make_plan
from manifests.time import Segment, Timeline
from manifests.uris import display_path

cuts = st.lists(st.tuples(st.floats(0, 3000), st.floats(60, 300), st.floats(0, 1)), max_size=4)


def sound(name: str, duration: float, *focuses: tuple[float, float, float]) -> Sound:
    """A recording with focuses given as start, end and peak."""
    return Sound(name, Path(name), duration, [(Segment(a, b), peak) for a, b, peak in focuses])


def per_second(bitrate: int) -> float:
    """Bytes of a second in a page, at the bitrate it was asked for."""
    return bitrate / 8 * 4 / 3


def test_what_fits_whole_is_played_whole() -> None:
    plan = make_plan([sound("a", 600, (0, 60, 30)), sound("b", 300)], 10_000_000)
    assert (plan.excerpt_seconds, plan.bitrate, plan.seconds) == (None, 32_000, 900)


def test_coarser_comes_before_shorter() -> None:
    budget = 600 * per_second(30_000)
    plan = make_plan([sound("a", 600, (0, 600, 30))], budget)
    assert (plan.excerpt_seconds, plan.bitrate, plan.seconds) == (None, 24_000, 600)


@pytest.mark.parametrize(
    ("peak", "clip"),
    [(200, (185, 215)), (101, (100, 130)), (399, (370, 400))],
    ids=["middle", "near the start", "near the end"],
)
def test_an_excerpt_lies_around_the_peak_inside_the_cut(peak: float, clip: tuple[float, float]) -> None:
    plan = make_plan([sound("a", 4000, (100, 400, peak), (500, 520, 510))], 60 * per_second(24_000) * 1.2)
    assert plan.excerpt_seconds == 30
    assert list(plan.clips["a"]) == [Segment(*clip), Segment(500, 520)]


def test_when_even_the_shortest_is_too_much_the_first_are_taken() -> None:
    many = [sound(f"s{n}", 4000, (0, 100, 50)) for n in range(50)]
    plan = make_plan(many, 10 * 15 * per_second(24_000) * 1.3)
    assert plan.excerpt_seconds == 15
    assert list(plan.clips) == [f"s{n}" for n in range(len(plan.clips))]
    assert 5 <= len(plan.clips) <= 10
    assert make_plan(many, -1).clips == {}


@given(st.lists(st.tuples(st.floats(60, 4000), cuts), max_size=5), st.floats(0, 30_000_000))
def test_a_plan_keeps_its_budget_and_its_cuts(
    recordings: list[tuple[float, list[tuple[float, float, float]]]], budget: float
) -> None:
    sounds = [
        sound(
            f"s{n}",
            max([d, *(a + length for a, length, _ in c)]),
            *((a, a + length, a + length * p) for a, length, p in c),
        )
        for n, (d, c) in enumerate(recordings)
    ]
    plan = make_plan(sounds, budget)
    assert plan.seconds * per_second(plan.bitrate) <= budget
    if plan.excerpt_seconds is None:
        assert all(plan.clips[one.recording_id].covers(Segment(0, one.duration)) for one in sounds)
        return
    for name, clips in plan.clips.items():
        (one,) = (one for one in sounds if one.recording_id == name)
        whole = Timeline(cut for cut, _ in one.focuses)
        assert all(whole.pad(1e-6).covers(clip) for clip in clips)
        assert all(clips.pad(1e-6).covers(Segment(peak, peak + 1e-9)) for _, peak in one.focuses)
        assert clips.duration <= plan.excerpt_seconds * len(one.focuses) + 1e-6


@pytest.mark.parametrize(
    ("seconds", "short", "long"),
    [
        (0, "0:00", "0:00:00"),
        (59.6, "1:00", "0:01:00"),
        (3599.7, "1:00:00", "1:00:00"),
        (90061, "25:01:01", "25:01:01"),
    ],
)
def test_clocks(seconds: float, short: str, long: str) -> None:
    assert (words.clock(seconds), words.long_clock(seconds)) == (short, long)


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 10, "0 %"),
        (1, 1000, "<1 %"),
        (1, 2, "50 %"),
        (999, 1000, ">99 %"),
        (7, 7, "100 %"),
        (0.1 + 0.7, 0.8, "100 %"),
        (0, 0, "0 %"),
    ],
)
def test_shares(part: float, whole: float, said: str) -> None:
    assert words.percent(part, whole) == said


@pytest.mark.parametrize(
    ("uri", "place", "name"),
    [
        ("media:a b/ü.mp4", "a b/ü.mp4", "ü.mp4"),
        ("media:100%25.mp4", "100%.mp4", "100%.mp4"),
        ("media:%FF.mp4", "media:%FF.mp4", "media:%FF.mp4"),
        ("media:bad%.mp4", "media:bad%.mp4", "media:bad%.mp4"),
        ("https://example.org/x.mp4", "https://example.org/x.mp4", "x.mp4"),
    ],
)
def test_places_and_names(uri: str, place: str, name: str) -> None:
    assert (display_path(uri), words.file_name(uri)) == (place, name)


def test_what_cannot_be_seen_is_written_out() -> None:
    assert words.visible("a\nb\t\x1b[0m \u202ec\x85") == "a\\nb\\t\\x1b[0m \\u202ec\\x85"
    assert words.visible("naïve – “quotes” 日本") == "naïve – “quotes” 日本"


def test_reasons_and_counts_are_words() -> None:
    assert (words.plain("possible_speech"), words.outcome_name("accept")) == ("possible speech", "accepted")
    assert (words.plural(1, "cut"), words.plural(0, "cut"), words.plural(1234, "cut")) == (
        "1 cut",
        "0 cuts",
        "1,234 cuts",
    )
