"""Frame scores: their clock, pooling, and the way to disk and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.scores import ROW_SECONDS, FrameScores, Tags, concatenate, from_rows, merged, pool_max, to_rows
from manifests.shards import read_shard, write_shard
from manifests.store import Corpus
from manifests.validation import validate


def made(frames: int, hop: float = 0.04, start: float = 0.0, seed: int = 0, tags: bool = False) -> FrameScores:
    rng = np.random.default_rng(seed)
    values = rng.random((frames, 2)).astype(np.float16)
    strongest = Tags(
        rng.integers(0, 521, (frames, 5)).astype(np.int16), rng.random((frames, 5)).astype(np.float16), hop
    )
    return FrameScores(start, hop, hop, ("speech", "music"), values, strongest if tags else None)


@pytest.mark.parametrize("hours", [0.001, 0.1, 0.5])
@pytest.mark.parametrize("tags", [False, True])
def test_scores_come_back_from_disk_in_rows_of_minutes(
    tmp_path_factory: pytest.TempPathFactory, hours: float, tags: bool
) -> None:
    corpus = Corpus.create(tmp_path_factory.mktemp("scores") / "corpus")
    scores = made(int(hours * 3600 / 0.04), tags=tags)
    write_shard(corpus, "scores", to_rows(scores, recording_id="ab", detector="d", version="1", key="k"))
    table = read_shard(corpus, "scores", "ab", "d", "k")
    assert table.num_rows == max(1, int(np.ceil(hours * 3600 / ROW_SECONDS)))
    back = from_rows(table)
    assert (back.start, back.hop, back.window, back.labels) == (
        scores.start,
        scores.hop,
        scores.window,
        scores.labels,
    )
    np.testing.assert_array_equal(back.values, scores.values)
    if tags:
        assert back.tags and scores.tags
        np.testing.assert_array_equal(back.tags.ids, scores.tags.ids)
        np.testing.assert_array_equal(back.tags.scores, scores.tags.scores)
    faults = {fault.problem for fault in validate(corpus)}
    assert faults == {"recording ab is not in recordings"}


def test_a_missing_row_is_noticed(tmp_path: pytest.TempPathFactory) -> None:
    corpus = Corpus.create(str(tmp_path) + "/corpus")
    rows = list(to_rows(made(40_000), recording_id="ab", detector="d", version="1", key="k"))
    write_shard(corpus, "scores", [rows[0], rows[2]])
    with pytest.raises(ValueError, match=r"starting at 1200\.000 s do not continue those ending at 600\.000 s"):
        from_rows(read_shard(corpus, "scores", "ab", "d", "k"))
    assert "the row from 1200.0 s does not follow the one before" in {fault.problem for fault in validate(corpus)}


@given(st.integers(0, 300), st.integers(1, 9), st.floats(0, 0.6))
def test_pooling_keeps_every_maximum(frames: int, factor: int, unheard: float) -> None:
    rng = np.random.default_rng(frames)
    values = rng.random((frames, 3)).astype(np.float16)
    values[rng.random((frames, 3)) < unheard] = np.nan
    pooled = pool_max(values, factor)
    assert len(pooled) == -(-frames // factor)
    for i in range(len(pooled)):
        run = values[i * factor : (i + 1) * factor]
        for label in range(3):
            known = run[:, label][~np.isnan(run[:, label])]
            assert np.isnan(pooled[i, label]) if not len(known) else pooled[i, label] == known.max()


@pytest.mark.parametrize(("hop", "expected"), [(0.01, 0.04), (0.032, 0.064), (0.04, 0.04), (0.48, 0.48)])
def test_stored_rate_is_at_most_25_a_second(hop: float, expected: float) -> None:
    pooled = made(1000, hop).pooled()
    assert pooled.hop == pytest.approx(expected) and 1 / pooled.hop <= 25 + 1e-6
    assert len(pooled) * pooled.hop >= 1000 * hop - 1e-6
    assert pooled.window == pytest.approx(hop + pooled.hop - hop)


def test_the_grid_reads_the_nearest_frame_and_knows_where_nobody_listened() -> None:
    scores = FrameScores(1.0, 0.5, 0.5, ("speech",), np.array([[0.25], [0.75]], np.float16))
    lane = scores.on_grid("speech", 0.25, 10)
    np.testing.assert_array_equal(lane, [np.nan] * 4 + [0.25, 0.25, 0.75, 0.75] + [np.nan] * 2)
    with pytest.raises(KeyError, match="no label 'laughter' among speech"):
        scores.track("laughter")


def test_parts_that_do_not_meet_are_refused() -> None:
    with pytest.raises(ValueError, match="do not continue"):
        concatenate([made(10), made(10, start=0.8)])
    assert len(concatenate([made(10), made(10, start=0.4)])) == 20


def test_two_hearings_become_one() -> None:
    def scores(values: list[float], tags: list[int]) -> FrameScores:
        lanes = np.array(values, np.float16)[:, None]
        ids = np.array(tags, np.int16)[:, None]
        return FrameScores(
            0.0, 1.0, 1.0, ("a",), lanes, Tags(ids, np.where(ids < 0, np.nan, 0.5).astype(np.float16), 1.0)
        )

    nan = float("nan")
    shorter = merged(scores([0.1, nan, nan], [1, -1, -1]), scores([nan, 0.2], [-1, 2]))
    np.testing.assert_allclose(shorter.values[:, 0], [0.1, 0.2], rtol=1e-3)
    assert shorter.tags is not None and shorter.tags.ids[:, 0].tolist() == [1, 2]
    both = merged(scores([0.1, nan, nan], [1, -1, -1]), scores([nan, 0.2, nan, 0.4], [-1, 2, -1, 4]))
    np.testing.assert_allclose(both.values[:, 0], [0.1, 0.2, nan, 0.4], rtol=1e-3)
    assert both.tags is not None and both.tags.ids[:, 0].tolist() == [1, 2, -1, 4]
    again = merged(both, scores([0.9, nan, nan, nan], [7, -1, -1, -1]))
    np.testing.assert_allclose(again.values[:, 0], [0.9, 0.2, nan, 0.4], rtol=1e-3)
