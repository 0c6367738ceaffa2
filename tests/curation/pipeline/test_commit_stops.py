"""Stops in the middle of a commit: the tables are never a mixture that nothing names, and every command heals it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import annotation.rounds.review as review
import manifests.verdicts as verdicts
from annotation.rounds.review import ReviewRequest, decide_span
from curation.pipeline.curate import curate, replay
from curation.pipeline.redecide import redecide
from manifests.recipe import load_recipe
from manifests.records import Cut, Verdict
from manifests.schema import CorpusError
from manifests.store import Corpus, UnfinishedCommit
from manifests.validation import validate
from tests.support.decided_corpora import heard_corpus
from tests.support.in_process import in_process
from tests.support.stops import Stopped, assert_stops_are_safe, state_of, stopping

RECIPE = load_recipe("packaged")
MUSIC = replace(RECIPE.contaminants["music"], min_duration=5.0)
# other events, cuts and drops than under RECIPE
OTHER = replace(RECIPE, name="other", contaminants={**RECIPE.contaminants, "music": MUSIC})
IDS = ("ab" * 8, "cd" * 8)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LPSE = [sys.executable, "-c", "from app.cli import main; main()"]
VERDICT = Verdict(
    verdict_id="v", recording_id=IDS[0], start_ms=160_000, end_ms=260_000, decision="reject", reasons=("music",),
    method="reviewer", author="ann", made_at=NOON,
)  # fmt: skip


@pytest.fixture(scope="session")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    said = {name: [("speech", 90.0, 95.0, 0.15), ("music", 150.0, 154.0, 0.9)] for name in IDS}
    said["ef" * 8] = [("speech", 0.0, 400.0, 0.99)]  # nothing is left of it
    return heard_corpus(tmp_path_factory.mktemp("decided") / "corpus", RECIPE, 400.0, said).path


@pytest.fixture
def unfinished(decided: Path, tmp_path: Path) -> Corpus:
    """A corpus whose replay under another recipe stopped among the tables."""
    corpus = Corpus.open(shutil.copytree(decided, tmp_path / "unfinished"))
    with pytest.raises(Stopped), stopping(corpus.path, 3):
        replay(corpus, OTHER, runner=in_process)
    assert corpus.unfinished == "lpse replay"
    return corpus


def redecided(corpus: Corpus) -> None:
    """A reviewer's decision as the app writes it, and once more where it is there already."""
    with corpus.lock("review"):
        known = corpus.table("verdicts").count()
        redecide(corpus, [IDS[0]], [] if known else [VERDICT])


def test_replay_stops_safely(decided: Path, tmp_path: Path) -> None:
    def command(corpus: Corpus) -> None:
        replay(corpus, OTHER, runner=in_process)

    assert_stops_are_safe(decided, tmp_path / "c", command, "lpse replay", least=5)


def test_redecide_stops_safely(decided: Path, tmp_path: Path) -> None:
    assert_stops_are_safe(decided, tmp_path / "c", redecided, "lpse review", least=5)


@pytest.mark.slow
def test_curate_stops_safely(tmp_path: Path, record: Callable[..., Path]) -> None:
    """More files under the same recipe: no hash shows the difference."""
    media, base = tmp_path / "media", tmp_path / "base"
    record(media / "surf.wav", 61.5, seed=2, video=False)
    curate(Corpus.create(base), [media], RECIPE, workers=1)
    record(media / "more surf.wav", 62.5, seed=3, video=False)
    (media / "notes.wav").write_text("no media at all\n" * 40)
    scored = Corpus.open(shutil.copytree(base, tmp_path / "scored"))
    curate(scored, [media], RECIPE, workers=1)
    # from here on nothing has to be scored again: the ledger and the scores of the second run, the tables of the first
    for name in ("scores", "prints"):
        shutil.rmtree(base / "manifests" / name)
        shutil.copytree(scored.path / "manifests" / name, base / "manifests" / name)
    shutil.rmtree(base / "ledger")
    shutil.copytree(scored.path / "ledger", base / "ledger")

    def command(corpus: Corpus) -> None:
        curate(corpus, [media], RECIPE, workers=1, runner=in_process)

    assert_stops_are_safe(base, tmp_path / "c", command, "lpse curate", least=6)


def test_a_first_curation_stops_safely(tmp_path: Path, decided: Path) -> None:
    """Before the first commit there is no recipe, and no table to fall back on."""
    base = Corpus.open(shutil.copytree(decided, tmp_path / "base"))
    for name in ("events", "cuts", "drops", "duplicates"):
        shutil.rmtree(base.path / "manifests" / name, ignore_errors=True)
    settings = base.path / "corpus.toml"
    settings.write_text("schema_version = 3\n\n[roots]\n")
    assert base.recipe is None

    def command(corpus: Corpus) -> None:
        replay(corpus, RECIPE, runner=in_process)

    assert_stops_are_safe(base.path, tmp_path / "c", command, "lpse replay", least=5)


def test_a_reviewers_decision_stops_safely_and_a_replay_finishes_it(
    decided: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noon(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return NOON

    monkeypatch.setattr(review, "datetime", Noon)
    asked = ReviewRequest(IDS[0], 160_000, 260_000, "reject", "ann", frozenset(), ("music",))

    def copied() -> Corpus:
        shutil.rmtree(tmp_path / "c", ignore_errors=True)
        return Corpus.open(shutil.copytree(decided, tmp_path / "c"))

    corpus = copied()
    old = state_of(corpus)
    decide_span(corpus, asked)
    new, at, unfinished = state_of(corpus), 0, 0
    while True:
        corpus = copied()
        with stopping(corpus.path, at) as stop, suppress(Stopped):
            decide_span(corpus, asked)
        if stop.count <= at:
            break
        unfinished += corpus.unfinished is not None
        assert corpus.unfinished in ("lpse review", None)
        assert corpus.unfinished or state_of(corpus) in (old, new)
        replay(corpus, RECIPE, runner=in_process)
        assert state_of(corpus) in (old, new) and validate(corpus) == []
        at += 1
    assert unfinished >= 3


def test_an_unfinished_commit_is_finished_by_the_next_writer(unfinished: Corpus) -> None:
    whole = Corpus.open(shutil.copytree(unfinished.path, unfinished.path.with_name("whole")))
    replay(whole, OTHER, runner=in_process)
    with unfinished.lock("anything"):
        pass
    assert state_of(unfinished) == state_of(whole)
    assert unfinished.recipe_hash == OTHER.hash and validate(unfinished) == []


def test_an_unfinished_commit_is_not_redecided_piecemeal(unfinished: Corpus) -> None:
    before = state_of(unfinished)
    with pytest.raises(UnfinishedCommit, match="lpse replay has not finished"):
        redecide(unfinished, [IDS[0]], [VERDICT])
    assert state_of(unfinished) == before


def test_cuts_of_another_recipe_are_not_redecided_piecemeal(decided: Path, tmp_path: Path) -> None:
    corpus = Corpus.open(shutil.copytree(decided, tmp_path / "c"))
    cuts = [replace(cut, recipe_hash="older") if cut.recording_id == IDS[1] else cut for cut in corpus.rows(Cut)]
    corpus.replace("cuts", cuts)
    before = state_of(corpus)
    with pytest.raises(UnfinishedCommit, match="cuts of the recipe older"), corpus.lock("review"):
        redecide(corpus, [IDS[0]], [VERDICT])
    assert state_of(corpus) == before


def test_a_recipe_that_reads_otherwise_now_is_not_decided_by_piecemeal(decided: Path, tmp_path: Path) -> None:
    """Another version of this program may read the stored recipe as another one: two recipes would share the table."""
    corpus = Corpus.open(shutil.copytree(decided, tmp_path / "c"))
    corpus.set_recipe(OTHER.settings(), RECIPE.hash)
    before = state_of(corpus)
    with pytest.raises(UnfinishedCommit, match=f"reads as {OTHER.hash}: run lpse replay"), corpus.lock("review"):
        redecide(corpus, [IDS[0]])
    assert state_of(corpus) == before
    replay(corpus, OTHER, runner=in_process)
    redecided(corpus)
    assert validate(corpus) == []


def test_a_decision_that_cannot_be_recorded_changes_nothing(decided: Path, tmp_path: Path) -> None:
    corpus = Corpus.open(shutil.copytree(decided, tmp_path / "c"))
    redecided(corpus)
    before, settings = state_of(corpus), (corpus.path / "corpus.toml").read_bytes()
    again = replace(VERDICT, start_ms=0, end_ms=100_000)
    with pytest.raises(CorpusError, match="is there already"), corpus.lock("review"):
        redecide(corpus, [IDS[0]], [again])
    assert state_of(corpus) == before and (corpus.path / "corpus.toml").read_bytes() == settings
    assert not list(corpus.leftovers())


def test_the_commands_name_the_cure_in_one_line(unfinished: Corpus) -> None:
    for command in ("extract", "review", "annotate push"):
        more = ["--url", "http://127.0.0.1:9", "--token", "t"] if command == "annotate push" else []
        ran = subprocess.run(
            [*LPSE, *command.split(), "--corpus", str(unfinished.path), *more], capture_output=True, text=True
        )
        assert ran.returncode == 2, ran.stderr
        (line,) = ran.stderr.strip().splitlines()
        assert line.endswith(
            f"{unfinished.path}: lpse replay has not finished writing its tables: if it is not running any more, "
            "run it again, or lpse replay"
        )
    ran = subprocess.run([*LPSE, "validate", "--corpus", str(unfinished.path)], capture_output=True, text=True)
    assert ran.returncode == 1 and "corpus.toml: lpse replay has not finished writing its tables" in ran.stdout


def test_a_real_kill_among_the_tables_is_named_and_healed(decided: Path, tmp_path: Path) -> None:
    whole = Corpus.open(shutil.copytree(decided, tmp_path / "whole"))
    replay(whole, OTHER, runner=in_process)
    corpus = Corpus.open(shutil.copytree(decided, tmp_path / "killed"))
    (tmp_path / "recipe.toml").write_text(
        'extends = "packaged"\nname = "other"\n[contaminants.music]\nmin_duration = 5.0\n'
    )
    program = (
        "import os, signal, sys\n"
        "from curation.pipeline.curate import replay\n"
        "from manifests.recipe import load_recipe\n"
        "from manifests.store import Corpus\n"
        "rename = os.replace\n"
        "def killing(old, new):\n"
        "    rename(old, new)\n"
        "    if '/cuts/' in str(new):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.replace = killing\n"
        "replay(Corpus.open(sys.argv[1]), load_recipe(sys.argv[2]))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, corpus.path, tmp_path / "recipe.toml"], env=os.environ.copy())
    assert ran.returncode == -signal.SIGKILL
    assert corpus.recipe_hash == RECIPE.hash and corpus.unfinished == "lpse replay"
    assert [fault.item for fault in validate(corpus)] == ["corpus.toml"]
    replay(corpus, OTHER, runner=in_process)
    assert state_of(corpus) == state_of(whole) and validate(corpus) == []


def test_stops_while_verdicts_are_merged_lose_and_double_none(
    decided: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a reviewer's decision, many small files become one."""
    monkeypatch.setattr(verdicts, "PARTS", 1)
    at, others = 0, [replace(VERDICT, verdict_id=name, start_ms=0, end_ms=1000) for name in "ab"]
    while True:
        shutil.rmtree(tmp_path / "c", ignore_errors=True)
        corpus = Corpus.open(shutil.copytree(decided, tmp_path / "c"))
        for other in others:
            corpus.append("verdicts", [other])
        with stopping(corpus.path, at) as stop, suppress(Stopped), corpus.lock("review"):
            redecide(corpus, [IDS[0]], [VERDICT])
        if stop.count <= at:
            break
        replay(corpus, RECIPE, runner=in_process)
        names = sorted(row.verdict_id for row in corpus.rows(Verdict))
        assert names in (["a", "b"], ["a", "b", "v"]) and validate(corpus) == []
        at += 1
    assert at >= 6 and len(corpus.table("verdicts").files()) == 1
