"""`python -m tests.bench.kills`: kill curate, replay, extract and train, start them again, and count what that costs.

Each command runs over a small made-up corpus in a process of its own, which the kernel kills: `--rounds` times at a
random moment (time is drawn anew for each, until the command has ended once), and before every rename or link of a run
that has all scores, features or nothing left to do but its commit. After each kill the same command runs again, and the
result is compared with that of a run that was not killed: rows, cuts and ledger entries that are lost, those that are
there twice, and files with other bytes. Everything is drawn from `--seed`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from curation.media import write_media
from curation.pipeline.curate import curate, replay
from features.cache import FeatureCache
from features.extraction.extract import extract
from manifests.recipe import load_recipe
from manifests.records import Recording
from manifests.schema import PRIMARY_KEYS, SCHEMAS
from manifests.store import Corpus
from model.training import from_file, train
from tests.conftest import surf
from tests.support.in_process import in_process
from tests.support.small_corpus import decide
from tests.support.training_cases import base_at, cache_at, curve, settings

RECIPE = load_recipe("default")
MUSIC = replace(RECIPE.contaminants["music"], min_duration=5.0)
OTHER = replace(
    RECIPE,
    name="other",
    contaminants={**RECIPE.contaminants, "music": MUSIC},
    spans=replace(RECIPE.spans, min_duration=20.0, max_duration=40.0),
)
"""A recipe with other cuts than RECIPE."""
SPANS = [(0.5, 9.0), (9.5, 18.0), (18.5, 30.0)]
STEPS = settings(steps=9, log_every=4, checkpoint_every=3)


@dataclass(frozen=True)
class Place:
    """The folders of one attempt: the corpus (or run) that is changed, and what it reads."""

    folder: Path
    given: Path


def run_curate(place: Place) -> None:
    """With real workers, which die with their parent."""
    curate(Corpus.obtain(place.folder), [place.given / "media"], RECIPE, workers=1)


def run_commit(place: Place) -> None:
    """Of a corpus that has all scores: in this process, where the renames are counted."""
    curate(Corpus.obtain(place.folder), [place.given / "media"], RECIPE, workers=1, runner=in_process)


def run_replay(place: Place) -> None:
    replay(Corpus.open(place.folder), OTHER, runner=in_process)


def run_extract(place: Place) -> None:
    extract(Corpus.open(place.folder), workers=1)


def run_train(place: Place) -> None:
    cache = FeatureCache(place.given / "cache")
    train(cache, place.folder, from_file(place.given / "base.safetensors", cache), STEPS, device="cpu")


@dataclass(frozen=True)
class Job:
    """A command, the folder that a run begins with (None: none), and the command whose renames are counted."""

    name: str
    command: Callable[[Place], None]
    begins: str | None
    at_renames: Callable[[Place], None]
    renames_begin: str | None


JOBS = (
    Job("curate", run_curate, None, run_commit, "scored"),
    Job("replay", run_replay, "curated", run_replay, "curated"),
    Job("extract", run_extract, "cut", run_extract, "cut"),
    Job("train", run_train, None, run_train, None),
)


@dataclass
class Counts:
    """What kills cost, by kind."""

    kills: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0
    differ: int = 0
    failed: int = 0


def attempt(command: Callable[[Place], None], place: Place, kill_at: int | None) -> None:
    """Run the command; the kernel ends this process before rename or link number `kill_at` in the place's folder."""
    count = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in ("os.rename", "os.link") and str(arguments[1]).startswith(str(place.folder)):
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

    sys.addaudithook(watch)
    command(place)


class Killer:
    """Runs attempts in processes that a server forks, which has imported everything once."""

    def __init__(self) -> None:
        self._context = mp.get_context("forkserver")
        libraries = ["curation.pipeline.curate", "features.extraction.extract", "model.training", "tests.conftest"]
        self._context.set_forkserver_preload(libraries)

    def killed_at_rename(self, command: Callable[[Place], None], place: Place, number: int) -> bool:
        """True if the process was killed, False if it ended before that rename."""
        process = self._context.Process(target=attempt, args=(command, place, number))
        process.start()
        process.join()
        if process.exitcode not in (0, -signal.SIGKILL):
            raise SystemExit(f"{command.__name__} ended with {process.exitcode} before rename {number}")
        return process.exitcode != 0

    def killed_after(self, command: Callable[[Place], None], place: Place, seconds: float) -> bool:
        """True if the process was killed `seconds` after its start, False if it ended before."""
        process = self._context.Process(target=attempt, args=(command, place, None))
        process.start()
        process.join(seconds)
        alive = process.is_alive()
        process.kill()
        process.join()
        if process.exitcode not in (0, -signal.SIGKILL):
            raise SystemExit(f"{command.__name__} ended with {process.exitcode}")
        return alive and process.exitcode != 0

    def finished(self, command: Callable[[Place], None], place: Place) -> float | None:
        """Seconds of a run that is left alone; None if it failed."""
        began = time.monotonic()
        process = self._context.Process(target=attempt, args=(command, place, None))
        process.start()
        process.join()
        return time.monotonic() - began if process.exitcode == 0 else None


def prepared(folder: Path) -> None:
    """Everything that the jobs read and begin with, in `folder`."""
    media = folder / "media"
    media.mkdir()
    for name, seconds, seed in (("one.wav", 61.5, 2), ("two.wav", 62.5, 3), ("again.wav", 61.5, 2)):
        write_media(media / name, audio=surf(seconds, seed), sample_rate=16_000, audio_codec="pcm_s16le")
    (media / "notes.wav").write_text("no media at all\n" * 40)
    curated = Corpus.create(folder / "curated")
    curate(curated, [media], RECIPE, workers=2)
    # all scores and the ledger, no table: what is left to do is the commit
    scored = Path(shutil.copytree(curated.path, folder / "scored"))
    for name in ("sources", "recordings", "events", "cuts", "drops", "duplicates"):
        shutil.rmtree(scored / "manifests" / name, ignore_errors=True)
    root = json.dumps(str(media))
    (scored / "corpus.toml").write_text(f"schema_version = 4\n\n[roots]\nmedia = {root}\n")
    shutil.rmtree(scored / "fits")
    cut = Corpus.open(shutil.copytree(curated.path, folder / "cut"))
    recordings = sorted(row.recording_id for row in cut.rows(Recording) if row.status == "ok")
    decide(cut, dict.fromkeys(recordings, SPANS))
    cache_at(folder / "cache")
    base_at(folder / "base.safetensors")


def state(folder: Path) -> dict[str, bytes]:
    """Every file that two equal runs have equal: not locks, logs and the ledger, which hold processes and times."""
    if (folder / "log.jsonl").exists():
        files = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
        return files | {"curve": json.dumps(curve(folder)).encode()}
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if (
            path.is_file()
            and path.suffix != ".lock"
            and path.name != ".lock"
            and name.parts[0] not in ("logs", "ledger")
        ):
            found[str(name)] = path.read_bytes()
    return found


def keys(folder: Path) -> Iterator[str]:
    """The primary key of every row, the cuts and texts of caches, and what the ledger says is done."""
    for name, columns in PRIMARY_KEYS.items():
        if name not in SCHEMAS or not (folder / "manifests" / name).is_dir():
            continue
        for path in Corpus(folder).table(name).files():
            for row in pq.read_table(path, columns=list(columns)).to_pylist():
                yield f"{name} {sorted(row.items())}"
    for column, parts in (("cut_id", "features/*/cuts/*.parquet"), ("text_id", "features/*/texts/*.parquet")):
        for path in folder.glob(parts):
            yield from (f"features {key}" for key in pq.read_table(path, columns=[column])[column].to_pylist())
    for path in folder.glob("features/*/staged/*.parquet"):
        yield f"staged {path.name}"
    if (folder / "ledger").is_dir():
        rows = Corpus(folder).table("ledger").to_arrow(["stage", "key"]).to_pylist()
        yield from {f"ledger {row['stage']} {row['key']}" for row in rows}


def compare(folder: Path, whole: Path, counts: Counts) -> None:
    """Add what `folder` has lost, has twice, and has with other bytes than `whole`."""
    ours, theirs = Counter(keys(folder)), Counter(keys(whole))
    counts.lost += (theirs - ours).total()
    counts.doubled += (ours - theirs).total()
    mine, other = state(folder), state(whole)
    counts.differ += sum(mine.get(name) != other.get(name) for name in mine.keys() | other.keys())


def kill_job(job: Job, work: Path, rounds: int, draw: random.Random, killer: Killer) -> Counts:
    """Kill one command in both ways."""
    counts = Counts()

    def begun(begins: str | None) -> Place:
        folder = work / job.name
        shutil.rmtree(folder, ignore_errors=True)
        if begins is not None:
            shutil.copytree(work / begins, folder)
        return Place(folder, work)

    place = begun(job.begins)
    seconds = killer.finished(job.command, place)
    assert seconds is not None, f"{job.name} fails without a kill"
    whole = place.folder.rename(work / f"{job.name}-whole")
    place = begun(job.begins)
    while counts.kills["random"] < rounds:
        if killer.killed_after(job.command, place, draw.uniform(0.0, 1.1 * seconds)):
            counts.kills["random"] += 1
            if draw.random() < 0.5:  # a second and a third kill on the way, as often as not
                continue
        if killer.finished(job.command, place) is None:
            counts.failed += 1
        else:
            compare(place.folder, whole, counts)
        place = begun(job.begins)
    if job.at_renames is not job.command:
        shutil.rmtree(whole)
        place = begun(job.renames_begin)
        killer.finished(job.at_renames, place)
        place.folder.rename(whole)
    number = 0
    while killer.killed_at_rename(job.at_renames, place := begun(job.renames_begin), number):
        counts.kills["rename"] += 1
        number += 1
        if killer.finished(job.at_renames, place) is None:
            counts.failed += 1
        else:
            compare(place.folder, whole, counts)
    return counts


def main() -> None:
    """Print the counts of each command, and of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=18, help="kills at random of each command")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[job.name for job in JOBS], help="one command alone")
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    columns = ("at random", "at a rename", "lost", "doubled", "files that differ", "failed to go on")
    print(f"{'':10}" + "".join(f"{name:>18}" for name in columns))
    total = np.zeros(len(columns), int)
    with tempfile.TemporaryDirectory() as folder:
        work, killer = Path(folder), Killer()
        prepared(work)
        for job in JOBS:
            if asked.only in (None, job.name):
                counts = kill_job(job, work, asked.rounds, draw, killer)
                kills = counts.kills
                row = [kills["random"], kills["rename"], counts.lost, counts.doubled, counts.differ, counts.failed]
                total += row
                print(f"{job.name:10}" + "".join(f"{figure:>18}" for figure in row), flush=True)
    print(f"{'all':10}" + "".join(f"{figure:>18}" for figure in total))
    print(f"{total[0] + total[1]} kills")


if __name__ == "__main__":
    main()
