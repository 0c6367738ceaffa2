"""What the mean of the channels does not hold sends a cut to a person, by the second."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curation.decision.decide import decide
from curation.decision.human_evidence import HumanEvidence
from curation.detectors.signal import HOP, LABELS, WINDOW
from manifests.recipe import AudioPolicy, Recipe, load_recipe, parse_recipe
from manifests.records import AudioTrack
from manifests.scores import FrameScores
from manifests.time import Segment, Timeline
from tests.support.made_up_scores import clean as without_signal
from tests.support.made_up_scores import lanes, put, recording

SECONDS = 140.0
CHOSEN = AudioTrack(
    index=1, codec="aac", sample_rate=48_000, channels=2, language="", title="", role="", chosen=True, silent=False
)
OTHER = replace(CHOSEN, index=2, chosen=False)


def clean(seconds: float) -> dict[str, FrameScores]:
    """What the detectors say of a recording in which there is nothing to find, its channels included."""
    signal = lanes(LABELS, seconds, HOP, WINDOW, loudness_lufs=-20, dc=0, dead=0, copied=0, mono_loss_db=1.5)
    return {**without_signal(seconds), "signal": signal}


def recipe(**audio: object) -> Recipe:
    return replace(load_recipe("packaged"), audio=AudioPolicy(**audio))  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [1.0, 3.0, 30.0])
def test_a_voice_in_opposite_phase_needs_review_however_short(seconds: float) -> None:
    """A percentile over the cut would hide up to a tenth of it."""
    scores = clean(SECONDS)
    put(scores, "signal.mono_loss_db", 20.0, 20.0 + seconds, 9.0)
    cuts = decide(recording(SECONDS, channels=2), scores, recipe(mono_loss_db=6.0)).cuts
    (cut,) = [cut for cut in cuts if cut.segment.overlaps(Segment(20.0, 20.0 + seconds))]
    assert (cut.decision, cut.reasons) == ("review", ("cancels_in_mono",))
    assert cut.start <= 20.0 and cut.end >= 20.0 + seconds
    assert all(cut.decision == "accept" for cut in cuts if cut.start >= 20.0 + seconds)


def test_quiet_seconds_and_wide_stereo_are_no_doubt() -> None:
    scores = clean(SECONDS)
    put(scores, "signal.mono_loss_db", 0.0, SECONDS, 3.5)
    put(scores, "signal.mono_loss_db", 20.0, 25.0, 40.0)
    put(scores, "signal.loudness_lufs", 20.0, 25.0, -70.0)
    (cut,) = decide(recording(SECONDS, channels=2), scores, recipe(mono_loss_db=6.0)).cuts
    assert cut.decision == "accept"


def test_inputs_without_a_microphone_cancel_nothing() -> None:
    """One of four channels sounds: the mean of all loses 6 dB, and nothing."""
    scores = clean(SECONDS)
    put(scores, "signal.dead", 0.0, SECONDS, 3)
    put(scores, "signal.mono_loss_db", 0.0, SECONDS, 6.02)
    cuts = decide(recording(SECONDS, channels=4), scores, recipe(mono_loss_db=6.0)).cuts
    assert all("cancels_in_mono" not in cut.reasons for cut in cuts)
    put(scores, "signal.mono_loss_db", 20.0, 25.0, 13.0)
    cuts = decide(recording(SECONDS, channels=4), scores, recipe(mono_loss_db=6.0)).cuts
    assert any("cancels_in_mono" in cut.reasons for cut in cuts)


@pytest.mark.parametrize(("rule", "reasons"), [("accept", ()), ("review", ("dead_channel",))])
def test_channels_that_never_sound_have_a_rule_of_their_own(rule: str, reasons: tuple[str, ...]) -> None:
    scores = clean(SECONDS)
    put(scores, "signal.dead", 0.0, SECONDS + 1, 2)
    (cut,) = decide(recording(SECONDS, channels=4), scores, recipe(unarmed_channels=rule)).cuts
    assert cut.reasons == reasons
    assert cut.dead_channels == 2
    put(scores, "signal.dead", 60.0, SECONDS + 1, 3)  # one more dies on the way
    (cut,) = decide(recording(SECONDS, channels=4), scores, recipe(unarmed_channels=rule)).cuts
    assert cut.reasons == ("dead_channel",)


def test_a_person_who_listened_settles_it() -> None:
    scores = clean(SECONDS)
    put(scores, "signal.mono_loss_db", 20.0, 25.0, 9.0)
    people = HumanEvidence(cleared=Timeline([Segment(0.0, SECONDS)]))
    cuts = decide(recording(SECONDS, channels=2), scores, recipe(mono_loss_db=6.0), people=people).cuts
    assert [cut.decision for cut in cuts] == ["accept"] * len(cuts)


def test_no_splice_lies_inside_an_accepted_cut() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        splices = tuple(sorted(rng.uniform(0, SECONDS, rng.integers(1, 4)).round(3)))
        decided = decide(recording(SECONDS, splices=splices), clean(SECONDS), recipe(splices="review"))
        cuts, events = decided.cuts, [event for event in decided.events if event.source == "clock"]
        assert all(any(event.start <= splice <= event.end for event in events) for splice in splices)
        for cut in cuts:
            inside = any(cut.start < splice < cut.end for splice in splices)
            assert (cut.decision == "review") >= inside
            assert cut.reasons == (("spliced",) if cut.decision == "review" else ())


@pytest.mark.parametrize(
    ("tracks", "doubtful"),
    [
        ((), False),
        ((CHOSEN,), False),
        ((CHOSEN, OTHER), True),
        ((CHOSEN, replace(OTHER, role="comment")), False),
        ((CHOSEN, replace(OTHER, silent=True)), False),
        ((CHOSEN, replace(OTHER, chosen=True)), False),
    ],
)
@pytest.mark.parametrize("rule", ["accept", "review"])
def test_another_track_that_could_be_the_sound(tracks: tuple[AudioTrack, ...], doubtful: bool, rule: str) -> None:
    (cut,) = decide(recording(SECONDS, audio_tracks=tracks), clean(SECONDS), recipe(other_tracks=rule)).cuts
    assert cut.reasons == (("other_tracks",) if doubtful and rule == "review" else ())


def test_a_recipe_without_the_section_decides_and_is_called_as_before() -> None:
    values = load_recipe("packaged").settings()
    old = parse_recipe({name: value for name, value in values.items() if name != "audio"}, "old")
    assert old.audio == AudioPolicy()
    assert old.hash == replace(load_recipe("packaged"), audio=AudioPolicy()).hash != load_recipe("packaged").hash
    scores = clean(SECONDS)
    put(scores, "signal.mono_loss_db", 20.0, 25.0, 9.0)
    (cut,) = decide(recording(SECONDS, splices=(60.0,), audio_tracks=(CHOSEN, OTHER)), scores, old).cuts
    assert cut.decision == "accept"
    assert parse_recipe(old.settings(), "again").hash == old.hash
