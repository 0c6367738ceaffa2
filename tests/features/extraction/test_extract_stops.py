"""Stops at the end of an extraction: the index of a cache and the drops of its cuts change as one."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from features.cache import FeatureCache, staged
from features.cache.of_corpus import cache_faults
from features.extraction.extract import extract
from manifests.recipe import load_recipe
from manifests.records import Drop, Recording
from manifests.store import Corpus, UnfinishedCommit
from tests.support.small_corpus import corpus_of, decide, film
from tests.support.stops import Stopped, assert_stops_are_safe, state_of, stopping

FIRST, MORE = [(0.5, 9.0)], [(0.5, 9.0), (9.5, 18.0), (18.5, 21.0)]  # the last is too short for a clip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with two cuts more than its cache shows: one is encoded already, one cannot be."""
    folder = tmp_path_factory.mktemp("stopped")
    film(folder / "media" / "sound.wav", 22, video=False)
    corpus = corpus_of(folder / "corpus", folder / "media", {"sound.wav": FIRST})
    extract(corpus, workers=1)
    (index,) = corpus.path.glob("features/*/index.parquet")
    earlier = index.read_bytes()
    (recording,) = corpus.rows(Recording)
    decide(corpus, {recording.recording_id: MORE})
    extract(corpus, workers=1)
    index.write_bytes(earlier)
    corpus.replace("drops", [])
    return corpus.path


def test_extract_stops_safely(base: Path, tmp_path: Path) -> None:
    assert_stops_are_safe(
        base,
        tmp_path / "c",
        lambda corpus: extract(corpus, workers=1),
        "lpse extract",
        "features/*/index.parquet",
        least=4,
    )
    corpus = Corpus.open(tmp_path / "c")
    (folder,) = (corpus.path / "features").iterdir()
    assert len(FeatureCache(folder).cuts) == 2
    assert [drop.reason for drop in corpus.rows(Drop)] == ["too_short"]
    assert list(cache_faults(corpus)) == []


def test_extract_refuses_the_unfinished_commit_of_another_command(base: Path, tmp_path: Path) -> None:
    corpus = Corpus.open(shutil.copytree(base, tmp_path / "c"))
    with pytest.raises(Stopped), stopping(corpus.path, 1), corpus.commit("lpse replay") as change:
        change.replace("cuts", [])
    assert corpus.unfinished == "lpse replay"
    before = state_of(corpus, "features/*/index.parquet")
    with pytest.raises(UnfinishedCommit, match="lpse replay has not finished writing its tables"):
        extract(corpus, workers=1)
    assert state_of(corpus, "features/*/index.parquet") == before


def test_extract_refuses_cuts_of_another_recipe(base: Path, tmp_path: Path) -> None:
    """Earlier versions of this program could leave such a corpus."""
    corpus = Corpus.open(shutil.copytree(base, tmp_path / "c"))
    corpus.set_recipe(load_recipe("packaged").settings(), "0123456789abcdef")
    with pytest.raises(UnfinishedCommit, match="the active one is 0123456789abcdef: run lpse replay"):
        extract(corpus, workers=1)


def test_what_a_stopped_extraction_staged_is_cleaned_once_it_is_not_wanted(base: Path, tmp_path: Path) -> None:
    """Cuts whose features were finished, but in no part yet, when the run was killed; then they were taken back."""
    corpus = Corpus.open(shutil.copytree(base, tmp_path / "c"))
    (folder,) = (corpus.path / "features").iterdir()
    (recording,) = corpus.rows(Recording)
    decide(corpus, {recording.recording_id: [*MORE, (1.0, 10.0)]})
    with pytest.raises(Stopped), stopping(folder, 0):
        extract(corpus, workers=1)
    assert len(staged(folder)) == 1
    decide(corpus, {recording.recording_id: MORE})
    done = extract(corpus, workers=1)
    assert staged(folder) == [] and (done.cuts, done.new) == (2, 0)
    assert list(cache_faults(corpus)) == [] and not list(folder.rglob(".*.tmp"))


@pytest.mark.slow
def test_stops_anywhere_in_an_extraction_lose_and_double_no_cut(base: Path, tmp_path: Path) -> None:
    """Not only in the commit at its end: the parts that it writes before, and the ledger, too."""
    begun = Corpus.open(shutil.copytree(base, tmp_path / "begun"))
    (recording,) = begun.rows(Recording)
    decide(begun, {recording.recording_id: [*MORE, (1.0, 10.0)]})
    patterns = ("features/*/index.parquet", "features/*/c*/*.parquet", "features/*/texts/*.parquet")
    whole = Corpus.open(shutil.copytree(begun.path, tmp_path / "whole"))
    extract(whole, workers=1)
    expected, at = state_of(whole, *patterns), 0
    while True:
        shutil.rmtree(tmp_path / "c", ignore_errors=True)
        corpus = Corpus.open(shutil.copytree(begun.path, tmp_path / "c"))
        with stopping(corpus.path, at) as stop, suppress(Stopped):
            extract(corpus, workers=1)
        if stop.count <= at:
            break
        extract(corpus, workers=1)
        assert state_of(corpus, *patterns) == expected, f"stop {at}"
        assert list(cache_faults(corpus)) == []
        at += 1
    assert at >= 6
