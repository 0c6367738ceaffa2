"""Curation from end to end: find the files, identify them, score the sound, decide, commit.

What takes long is kept as it is done (the ledger and the score files), so a run that was stopped goes on where it was.
What decides is recomputed in full from what is kept, so the tables of a run that was stopped and of one that was not
are the same, byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manifests.identity import source_id
from manifests.ledger import Ledger
from manifests.recipe import Recipe
from manifests.records import Drop, ItemKind, Recording, Source
from manifests.store import Corpus
from manifests.uris import resolve

from .commit import Entries, commit
from .detectors import spec
from .ingest import Found, discover
from .runner import Item, Progress
from .stages import PASSING, Identify, Score
from .work import WorkLog, failed_problem

STALL_SECONDS = 600.0  # without a sign of life, then a worker counts as hanging
SLOWEST_BYTES_A_SECOND = 5e6
# statuses of recordings that have sound to score, as far as is known
SOUND = frozenset({"ok", "truncated", "damaged", "quarantined"})
# stages whose drops a replay keeps: it looks at no media
BEFORE_DECIDING = frozenset({"ingest", "identify", "score"})


@dataclass(frozen=True)
class Step:
    """Where a run stands: `done` of `total` in `unit` ("bytes" or "seconds" of sound), and what is in hand."""

    phase: str
    unit: str
    done: float
    total: float
    items: int
    running: tuple[str, ...] = ()


StepCallback = Callable[[Step], None]


def default_workers() -> int:
    """As many as there are cores for this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_detectors(recipe: Recipe) -> None:
    """Raises DetectorUnavailable, before any work, for a detector of the recipe that cannot run here."""
    for name in recipe.detectors:
        spec(name)


def curate(
    corpus: Corpus,
    sources: Sequence[str | Path],
    recipe: Recipe,
    *,
    workers: int,
    retry: bool = False,
    on_step: StepCallback | None = None,
) -> None:
    """Bring `sources` (files, folders) into the corpus and decide over all of it under `recipe`.

    `retry` gives files another chance that crashed their worker in an earlier run. Raises SourceNotFound,
    DetectorUnavailable, Locked; whatever is wrong with a single file becomes a row instead.
    """
    check_detectors(recipe)
    with corpus.lock("curate"):
        found = list(discover(sources, corpus))
        log = WorkLog(Ledger(corpus), workers, retry)
        identified = _identify(found, log, on_step)
        entries = _entries(corpus, found, identified)
        entries = _score(corpus, entries, recipe, log, on_step)
        _commit(corpus, recipe, entries, on_step)
        log.ledger.compact()


def replay(corpus: Corpus, recipe: Recipe, *, on_step: StepCallback | None = None) -> None:
    """Decide again over everything the corpus holds, under `recipe`, from the kept scores alone.

    Recordings that a detector of the recipe never heard are dropped as `unscored`.
    """
    check_detectors(recipe)
    with corpus.lock("replay"):
        entries = Entries(
            sources={row.source_id: row for row in corpus.table("sources").rows()},
            recordings={row.recording_id: row for row in corpus.table("recordings").rows()},
            drops=[row for row in corpus.table("drops").rows() if row.stage in BEFORE_DECIDING],
        )
        _commit(corpus, recipe, entries, on_step)


def _commit(corpus: Corpus, recipe: Recipe, entries: Entries, on_step: StepCallback | None) -> None:
    total = sum(recording.duration or 0.0 for recording in entries.recordings.values())

    def tell(done: float) -> None:
        if on_step:
            on_step(Step("decide", "seconds", done, total, len(entries.recordings)))

    commit(corpus, recipe, entries, tell)


def _identify(found: Sequence[Found], log: WorkLog, on_step: StepCallback | None) -> dict[str, dict[str, Any]]:
    """The identity of every file that could be met, by uri."""
    stage = Identify()
    files = [one for one in found if one.problem is None]
    keys = {one.uri: stage.key(one.uri, one.signature) for one in files}
    sizes = {one.uri: float(one.signature[0]) for one in files}
    items = [
        (
            keys[one.uri],
            source_id(one.uri),
            Item(keys[one.uri], (one.uri, os.fspath(one.path)), sizes[one.uri] + 1.0),
        )
        for one in files
    ]
    shown = {source_id(one.uri): one.uri for one in files}
    # a file is read in one go, without a sign of life: the largest may take as long as a slow disk needs
    stall_seconds = max(STALL_SECONDS, max(sizes.values(), default=0.0) / SLOWEST_BYTES_A_SECOND)
    teller = _teller("identify", "bytes", items, shown, on_step)
    results = log.carry_out(stage, items, teller, stall_seconds=stall_seconds)
    return {uri: results[key] for uri, key in keys.items()}


def _teller(
    phase: str,
    unit: str,
    items: Sequence[tuple[str, str, Item]],
    shown: Mapping[str, str],
    on_step: StepCallback | None,
) -> Callable[[Progress], None] | None:
    """Turns a runner's progress into steps of the run; `shown` names an item id to people."""
    if on_step is None:
        return None
    total = sum(item.weight for _, _, item in items)

    def tell(progress: Progress) -> None:
        running = tuple(shown.get(name, name) for name in progress.running)
        on_step(Step(phase, unit, progress.done_weight, total, len(items), running))

    return tell


def _entries(corpus: Corpus, found: Sequence[Found], identified: dict[str, dict[str, Any]]) -> Entries:
    """What the corpus holds now, with this run's files laid over it."""
    sources = {row.source_id: row for row in corpus.table("sources").rows()}
    recordings = {row.recording_id: row for row in corpus.table("recordings").rows()}
    drops: list[Drop] = []
    met = {source_id(one.uri) for one in found}
    candidates: dict[str, list[Recording]] = {}
    for one in found:
        outcome = identified.get(one.uri, {"recording": None, "problem": one.problem})
        columns, problem = outcome["recording"], outcome["problem"]
        recording = Recording(**columns) if columns else None
        key = source_id(one.uri)
        known = sources.get(key)
        made_of_it = recording.recording_id if recording else None
        if known and problem and problem[0] in PASSING:
            made_of_it = known.recording_id  # what was made of it when it could be read still stands
        title = one.path.stem.encode("utf-8", "replace").decode()
        source = known or Source(source_id=key, uri=one.uri, origin="folder", title=title)
        sources[key] = replace(source, recording_id=made_of_it)
        stage = "ingest" if one.problem else "identify"
        if recording:
            candidates.setdefault(recording.recording_id, []).append(recording)
            if problem:
                drops.append(_drop("recording", recording.recording_id, stage, problem))
        elif problem:
            drops.append(_drop("source", key, stage, problem))
    roots = corpus.roots
    for recording_id, rows in candidates.items():
        recordings[recording_id] = _best([*rows, *_standing(recordings.get(recording_id), rows)], roots)
    return Entries(sources, recordings, [*_earlier_drops(corpus, met, candidates.keys()), *drops])


def _drop(kind: ItemKind, item: str, stage: str, problem: Sequence[str]) -> Drop:
    """A drop for a problem, (reason, detail)."""
    return Drop(item=item, item_kind=kind, stage=stage, reason=problem[0], detail=problem[1])


def _standing(known: Recording | None, rows: Sequence[Recording]) -> list[Recording]:
    """The recording's row of before, when it came from another place than the ones met now."""
    return [known] if known and all(known.uri != row.uri for row in rows) else []


def _best(rows: Iterable[Recording], roots: Mapping[str, Path]) -> Recording:
    """Of the files that hold one recording the one to read: with a picture, the largest, the first by name.

    One whose file is gone loses.
    """

    def rank(row: Recording) -> tuple[bool, bool, int, str]:
        try:
            gone = not resolve(row.uri, roots).exists()
        except (ValueError, OSError):
            gone = True
        return gone, not row.has_video, -(row.width or 0) * (row.height or 0), row.uri

    return min(rows, key=rank)


def _earlier_drops(corpus: Corpus, met: set[str], recordings: Iterable[str]) -> list[Drop]:
    """Drops of earlier runs for what this run did not look at; the decisions are all made anew."""
    again = met | set(recordings)
    return [row for row in corpus.table("drops").rows() if row.stage in BEFORE_DECIDING and row.item not in again]


def _score(corpus: Corpus, entries: Entries, recipe: Recipe, log: WorkLog, on_step: StepCallback | None) -> Entries:
    """Score every recording that has sound; its status and drops say how that went."""
    stage = Score(corpus.path, recipe.detectors)
    roots = corpus.roots
    recordings, problems = dict(entries.recordings), {}
    items = []
    # the longest first: the last to end is then a short one
    for row in sorted(recordings.values(), key=lambda row: (-(row.duration or 0.0), row.recording_id)):
        if row.duration and row.status in SOUND:
            key = stage.key(row.recording_id)
            try:
                path = os.fspath(resolve(row.uri, roots))
            except ValueError as error:
                problems[row.recording_id] = ("outside_root", str(error))
                continue
            items.append((key, row.recording_id, Item(key, (row.recording_id, path, row.duration), row.duration)))
    shown = {row.recording_id: row.uri for row in recordings.values()}
    teller = _teller("score", "seconds", items, shown, on_step)
    results = log.carry_out(stage, items, teller, stall_seconds=STALL_SECONDS, still_kept=stage.complete)
    looked_at = {recording_id for _, recording_id, _ in items} | problems.keys()
    drops = [row for row in entries.drops if row.stage != "score" or row.item not in looked_at]
    for key, recording_id, _ in items:
        outcome, row = results[key], recordings[recording_id]
        status = "ok" if row.status in ("damaged", "quarantined") else row.status
        if outcome["problem"]:
            problems[recording_id] = outcome["problem"]
            if failed_problem(outcome["problem"][0]):
                status = "quarantined"
            elif outcome["problem"][0] not in PASSING:
                status = "unreadable"
        elif outcome["damaged"]:
            status = "damaged"
        recordings[recording_id] = replace(row, status=status)
    drops += [_drop("recording", recording_id, "score", problem) for recording_id, problem in problems.items()]
    return Entries(entries.sources, recordings, drops)
