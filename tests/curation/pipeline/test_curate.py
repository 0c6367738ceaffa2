"""Curation end to end on real files: every input ends as a row, and whatever is killed comes back the same."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from curation.pipeline.curate import curate, replay
from curation.runner.progress import Progress
from manifests.ledger import Ledger
from manifests.recipe import load_recipe
from manifests.records import Cut, Drop, Recording, Source
from manifests.store import Corpus
from manifests.validation import validate

RECIPE = load_recipe("packaged")
Sound = Callable[..., Path]
CURATE = [sys.executable, "-c", "from app.cli import main; main()", "curate", "--recipe", RECIPE.name]


def tables(corpus: Corpus) -> dict[str, bytes]:
    """Every manifest file of a corpus, byte for byte."""
    folder = corpus.path / "manifests"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def drops(corpus: Corpus) -> dict[str, Drop]:
    """Drops by the file name of what was dropped."""
    uris = {row.source_id: row.uri for row in corpus.rows(Source)}
    uris |= {row.recording_id: row.uri for row in corpus.rows(Recording)}
    return {uris[row.item].split(":", 1)[1]: row for row in corpus.rows(Drop) if row.item in uris}


def recordings(corpus: Corpus) -> dict[str, Recording]:
    return {row.uri.split(":", 1)[1]: row for row in corpus.rows(Recording)}


def cuts(corpus: Corpus) -> list[Cut]:
    return list(corpus.rows(Cut))


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, record: Sound) -> Path:
    """A folder with `media` and the `corpus` made of it, once for all tests: they get copies."""
    base = tmp_path_factory.mktemp("original")
    record(base / "media" / "surf.mp4", 64, seed=1)
    record(base / "media" / "deeper" / "more surf.wav", 61.5, seed=2, video=False)
    record(base / "media" / "short.mp4", 5, seed=3)
    (base / "media" / "empty.mp4").touch()
    (base / "media" / "notes.mp4").write_text("no media at all, only words\n" * 40)
    curate(Corpus.create(base / "corpus"), [base / "media"], RECIPE, workers=2)
    return base


@pytest.fixture
def media(tmp_path: Path, original: Path) -> Path:
    return shutil.copytree(original / "media", tmp_path / "media")


@pytest.fixture
def finished(tmp_path: Path, original: Path, media: Path) -> Corpus:
    folder = shutil.copytree(original / "corpus", tmp_path / "corpus")
    settings = folder / "corpus.toml"
    settings.write_text(settings.read_text().replace(str(original / "media"), str(media)))
    return Corpus.open(folder)


def test_every_file_ends_as_a_row_with_its_reason(finished: Corpus) -> None:
    assert finished.table("sources").count() == 5
    assert {name: row.reason for name, row in drops(finished).items()} == {
        "short.mp4": "too_short",
        "empty.mp4": "empty_file",
        "notes.mp4": "not_media",
    }
    assert {name: row.status for name, row in recordings(finished).items()} == {
        "surf.mp4": "ok",
        "deeper/more surf.wav": "ok",
        "short.mp4": "ok",
        "empty.mp4": "empty",
        "notes.mp4": "unreadable",
    }
    assert {(cut.start, cut.decision) for cut in cuts(finished)} == {(0.0, "accept")}
    assert sorted(round(cut.end, 1) for cut in cuts(finished)) == pytest.approx([61.5, 64.0], abs=0.2)
    assert validate(finished) == []
    assert finished.recipe_hash == RECIPE.hash
    # every detector scored the two that are long enough for a cut; video was analyzed where a cut survived
    assert finished.table("scores").count() == 2 * len(RECIPE.detectors) + 1
    assert finished.table("prints").count() == 2 + 1


def test_a_second_run_does_nothing_and_changes_nothing(finished: Corpus, media: Path) -> None:
    before = tables(finished)
    ledger = len(Ledger(finished).latest("score")), len(Ledger(finished).latest("identify"))
    steps: list[Progress] = []
    curate(finished, [media], RECIPE, workers=2, on_progress=steps.append)
    assert tables(finished) == before
    assert (len(Ledger(finished).latest("score")), len(Ledger(finished).latest("identify"))) == ledger
    assert {step.phase for step in steps} == {"identify", "score", "decide"}
    assert all(step.done == step.total for step in steps if step.phase != "decide")


def test_two_sources_of_one_sound_are_one_recording(finished: Corpus, media: Path) -> None:
    shutil.copy(media / "surf.mp4", media / "again.mp4")
    curate(finished, [media], RECIPE, workers=1)
    assert finished.table("sources").count() == 6
    assert len(recordings(finished)) == 5 and len(cuts(finished)) == 2
    assert drops(finished)["surf.mp4"].reason == "duplicate"
    assert recordings(finished)["again.mp4"].status == "ok"
    assert validate(finished) == []


def test_a_file_whose_content_changes_is_another_recording(finished: Corpus, media: Path, record: Sound) -> None:
    old = recordings(finished)["surf.mp4"].recording_id
    record(media / "surf.mp4", 70, seed=9)
    curate(finished, [media], RECIPE, workers=1)
    gone = [row for row in finished.rows(Drop) if row.item == old]
    assert [row.reason for row in gone] == ["replaced"]
    assert old not in {cut.recording_id for cut in cuts(finished)}
    assert sorted(round(cut.end) for cut in cuts(finished)) == [62, 70]


def test_a_file_that_cannot_be_read_for_a_while_keeps_what_was_made_of_it(finished: Corpus, media: Path) -> None:
    before = tables(finished)
    os.rename(media / "surf.mp4", media.parent / "elsewhere.mp4")
    (media / "surf.mp4").symlink_to(media / "nowhere")
    curate(finished, [media], RECIPE, workers=1)
    assert [row.reason for row in finished.rows(Drop) if row.item_kind == "source"] == ["vanished"]
    assert len(cuts(finished)) == 2 and validate(finished) == []
    (media / "surf.mp4").unlink()
    os.rename(media.parent / "elsewhere.mp4", media / "surf.mp4")
    curate(finished, [media], RECIPE, workers=1)
    assert tables(finished) == before


def test_replay_needs_no_media_and_equals_a_run_under_that_recipe(
    finished: Corpus, media: Path, tmp_path: Path
) -> None:
    loose = replace(RECIPE, spans=replace(RECIPE.spans, min_duration=6.0, max_duration=30.0), video_analysis=False)
    fresh = Corpus.create(tmp_path / "fresh")
    curate(fresh, [media], loose, workers=2)
    os.rename(media, media.parent / "away")
    replay(finished, loose)
    assert cuts(finished)[0].still_share is not None  # what was looked at before is still known
    unseen = {
        name: data for name, data in tables(fresh).items() if name.split("/")[0] in ("events", "drops", "sources")
    }
    assert {name: tables(finished)[name] for name in unseen} == unseen
    extents = [(cut.cut_id, cut.decision, cut.risk) for cut in cuts(fresh)]
    assert [(cut.cut_id, cut.decision, cut.risk) for cut in cuts(finished)] == extents
    assert all(6 <= cut.segment.duration <= 30 for cut in cuts(finished)) and len(cuts(finished)) >= 6
    assert {row.reason for row in drops(finished).values()} == {"empty_file", "not_media", "too_short"}
    replay(finished, RECIPE)
    assert len(cuts(finished)) == 2


def test_a_replay_that_looks_further_opens_the_media_for_it(finished: Corpus, media: Path, tmp_path: Path) -> None:
    loose = replace(RECIPE, spans=replace(RECIPE.spans, min_duration=4.0, max_duration=30.0))
    fresh = Corpus.create(tmp_path / "fresh")
    curate(fresh, [media], loose, workers=2)
    replay(finished, loose)
    assert tables(finished) == tables(fresh)
    short = recordings(finished)["short.mp4"].recording_id
    assert [cut.still_share for cut in cuts(finished) if cut.recording_id == short] != [None]


def test_lost_scores_are_told_and_scored_again(finished: Corpus, media: Path) -> None:
    before = tables(finished)
    victim = recordings(finished)["surf.mp4"].recording_id
    for path in (finished.path / "manifests" / "scores").rglob(f"{victim}-silero-*"):
        path.unlink()
    away = media / "surf.mp4"
    away.rename(media.parent / "surf.mp4")
    replay(finished, RECIPE)
    assert drops(finished)["surf.mp4"].reason == "unscored"
    (media.parent / "surf.mp4").rename(away)
    scored = replay(finished, RECIPE).scored
    assert list(scored) == ["silero"] and scored["silero"].recordings == 1
    assert scored["silero"].seconds == pytest.approx(64.0, abs=0.2)
    assert tables(finished) == before


def test_tables_come_back_from_the_ledger_and_the_scores(finished: Corpus, media: Path) -> None:
    before = tables(finished)
    for name in ("events", "cuts", "drops"):
        shutil.rmtree(finished.path / "manifests" / name)
    curate(finished, [media], RECIPE, workers=1)
    assert tables(finished) == before


def test_a_file_that_vanishes_during_the_run_is_a_drop_and_returns(tmp_path: Path, media: Path) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    kept = tmp_path / "surf.mp4"

    def remove_when_scoring_starts(step: Progress) -> None:
        if step.phase == "score" and (media / "surf.mp4").exists():
            os.rename(media / "surf.mp4", kept)

    curate(corpus, [media], RECIPE, workers=1, on_progress=remove_when_scoring_starts)
    assert drops(corpus)["surf.mp4"].reason == "vanished"
    assert len(cuts(corpus)) == 1
    os.rename(kept, media / "surf.mp4")
    curate(corpus, [media], RECIPE, workers=1)
    assert "surf.mp4" not in drops(corpus) and len(cuts(corpus)) == 2


def test_a_file_that_kills_its_worker_blames_no_other(tmp_path: Path, media: Path) -> None:
    """A decoder that crashes on one file, in the real worker processes."""
    corpus = tmp_path / "corpus"
    poison = tmp_path / "poison"
    poison.mkdir()
    # every Python that starts with this on its path decodes for real, except for one file, on which it dies
    (poison / "sitecustomize.py").write_text(
        "import os, signal, sys, importlib.abc, importlib.machinery\n"
        "class Hook(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name != 'curation.detectors.scorer': return None\n"
        "        sys.meta_path.remove(self)\n"
        "        import curation.media as media\n"
        "        real = media.audio_blocks\n"
        "        def audio_blocks(path, *rest):\n"
        "            if str(path).endswith('surf.mp4'): os.kill(os.getpid(), signal.SIGSEGV)\n"
        "            return real(path, *rest)\n"
        "        media.audio_blocks = audio_blocks\n"
        "        return None\n"
        "sys.meta_path.insert(0, Hook())\n"
    )
    command = [*CURATE, str(media), "--corpus", str(corpus), "--workers", "2"]
    environment = os.environ | {"PYTHONPATH": str(poison)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    opened = Corpus.open(corpus)
    assert drops(opened)["surf.mp4"].reason == "worker_crashed"
    assert "SIGSEGV" in (drops(opened)["surf.mp4"].detail or "")
    assert recordings(opened)["surf.mp4"].status == "quarantined"
    assert len(cuts(opened)) == 1 and validate(opened) == []

    # quarantined: the next run leaves it alone, unless it is told to try again, with the cause mended
    subprocess.run(command, capture_output=True, check=True, timeout=300)
    assert drops(opened)["surf.mp4"].reason == "worker_crashed"
    subprocess.run([*command, "--retry"], capture_output=True, check=True, timeout=300)
    assert "surf.mp4" not in drops(opened) and len(cuts(opened)) == 2


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in task.read_text().split()]
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers through /proc")
def test_killed_at_random_and_started_again_gives_the_same_bytes(tmp_path: Path, media: Path, finished: Corpus) -> None:
    """At least twelve kills that hit a running process, the run as a whole and single workers in turn."""
    expected = tables(finished)
    rng = random.Random(5)
    kills, completed, corpus_number = {"run": 0, "worker": 0}, 0, 0
    while min(kills.values()) < 6 or not completed:
        corpus_number += 1
        corpus = tmp_path / f"killed-{corpus_number}"
        ended = False
        while not ended:
            command = [*CURATE, str(media), "--corpus", str(corpus), "--workers", str(rng.choice([1, 2]))]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            kind = "run" if kills["run"] <= kills["worker"] else "worker"
            time.sleep(rng.uniform(0.5, 4.5))
            victims = children(process.pid) if kind == "worker" else [process.pid]
            if process.poll() is None and victims:
                os.kill(rng.choice(victims), signal.SIGKILL)
                kills[kind] += 1
            output, _ = process.communicate(timeout=300)
            ended = process.returncode == 0
            assert ended or process.returncode == -signal.SIGKILL, output.decode()
        completed += 1
        assert tables(Corpus.open(corpus)) == expected
    assert sum(kills.values()) >= 12


def test_interrupt_stops_cleanly_and_the_same_command_goes_on(tmp_path: Path, media: Path, finished: Corpus) -> None:
    corpus = tmp_path / "stopped"
    command = [*CURATE, str(media), "--corpus", str(corpus), "--workers", "2"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not list(corpus.glob("manifests/scores/*/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130 or process.returncode == 0
    if process.returncode == 130:
        assert (
            error.strip().splitlines()[-1]
            == "lpse: stopped; finished work is kept: the same command continues from here"
        )
        assert "Traceback" not in error
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    assert tables(Corpus.open(corpus)) == tables(finished)
