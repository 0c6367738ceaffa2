"""Curation from end to end: find the files, identify them, score the sound, decide, commit.

What takes long is kept as it is done (the ledger and the score files), so a run that was stopped goes on where it was.
What decides is recomputed in full from what is kept, so the tables of a run that was stopped and of one that was not
are the same, byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from manifests.identity import source_id
from manifests.ledger import Ledger
from manifests.recipe import Recipe
from manifests.records import Drop, ItemKind, Recording, Source
from manifests.store import Corpus
from manifests.uris import resolve

from ..detectors import ModelSetup, ModelUnavailable, prepare, spec
from ..detectors.score_store import setup_of
from ..duplicates.corpus_index import find_copies
from ..ingest.folders import Found, discover
from ..runner import Item
from ..runner.ledgered import TRANSIENT, LedgeredRunner, failed_problem
from ..runner.progress import Step, StepCallback, teller
from .commit import Entries, commit, orphaned_recordings
from .coverage import STALL_SECONDS, CascadeAccount, Hearing, NeedsCallback, with_sound
from .stages import Identify, Score

SLOWEST_BYTES_A_SECOND = 5e6
# stages whose drops a replay keeps: it looks at no media
BEFORE_DECIDING = frozenset({"ingest", "identify", "score"})


def default_workers() -> int:
    """As many as there are cores for this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_detectors(recipe: Recipe, corpus: Corpus | None) -> None:
    """Make sure that the recipe's detectors run here, with the fits of `corpus` (None: one that is yet to be made).

    Raises ModelUnavailable, before any work, for a detector that cannot run, and for one in the cascade that
    cannot hear parts of a recording. Nothing is written.
    """
    setup = setup_of(corpus, recipe)
    for name in recipe.all_detectors:
        one = spec(name, setup)
        if name in recipe.cascade and not one.stateless:
            raise ModelUnavailable(f"{name} hears a recording from end to end: name it in detectors, not in cascade")


def _prepared(corpus: Corpus, recipe: Recipe) -> ModelSetup:
    """What the recipe's detectors need, checked, and converted where it must be."""
    check_detectors(recipe, corpus)
    setup = setup_of(corpus, recipe)
    for name in recipe.all_detectors:
        prepare(name, setup)
    return setup


def curate(
    corpus: Corpus,
    sources: Sequence[str | Path],
    recipe: Recipe,
    *,
    workers: int,
    retry: bool = False,
    on_step: StepCallback | None = None,
) -> CascadeAccount | None:
    """Bring `sources` (files, folders) into the corpus and decide over all of it under `recipe`.

    `retry` gives files another chance that crashed their worker in an earlier run. Returns what a cascade saved, None
    without one. Raises SourceNotFound, ModelUnavailable, Locked; whatever is wrong with a single file becomes a
    row instead.
    """
    with corpus.lock("curate"):
        setup = _prepared(corpus, recipe)
        found = list(discover(sources, corpus))
        log = LedgeredRunner(Ledger(corpus), workers, retry)
        identified = _identify(found, log, on_step)
        entries = _entries(corpus, found, identified)
        entries = _score(corpus, entries, recipe, setup, log, on_step)
        hearing = Hearing(corpus, recipe, setup, log, on_step)
        account = _deepen_and_commit(hearing, entries)
        log.ledger.compact()
    return account


def replay(
    corpus: Corpus,
    recipe: Recipe,
    *,
    workers: int = 1,
    on_step: StepCallback | None = None,
    on_needs: NeedsCallback | None = None,
) -> CascadeAccount | None:
    """Decide again over everything the corpus holds, under `recipe`, from the kept scores.

    Only where the recipe asks about seconds that its detectors have not heard is the media opened: `on_needs` is told
    how many seconds of which recordings, then they are heard. What cannot be heard any more is never kept.
    """
    with corpus.lock("replay"):
        setup = _prepared(corpus, recipe)
        entries = Entries(
            sources={row.source_id: row for row in corpus.table("sources").rows()},
            recordings={row.recording_id: row for row in corpus.table("recordings").rows()},
            drops=[row for row in corpus.table("drops").rows() if row.stage in BEFORE_DECIDING],
        )
        log = LedgeredRunner(Ledger(corpus), workers, retry=False)
        hearing = Hearing(corpus, recipe, setup, log, on_step, on_needs)
        hearing.score_missing(entries)
        return _deepen_and_commit(hearing, entries)


def _deepen_and_commit(hearing: Hearing, entries: Entries) -> CascadeAccount | None:
    """From scored recordings to the tables: copies, cascade, picture, decisions."""
    corpus, recipe = hearing.corpus, hearing.recipe
    total = sum(recording.duration or 0.0 for recording in entries.recordings.values())

    def tell(done: float) -> None:
        if hearing.on_step:
            hearing.on_step(Step("decide", "seconds", done, total, len(entries.recordings)))

    gone = {row.item for row in orphaned_recordings(entries)}
    present = {key: row for key, row in entries.recordings.items() if key not in gone}
    by_sound = find_copies(corpus, present, recipe.duplicates, "audio")
    account = hearing.deepen(entries, by_sound.cut_away)
    hearing.look(entries, by_sound.cut_away)
    by_picture = find_copies(corpus, present, recipe.duplicates, "picture")
    commit(corpus, recipe, hearing.setup, entries, by_sound | by_picture, tell)
    return account


def _identify(found: Sequence[Found], log: LedgeredRunner, on_step: StepCallback | None) -> dict[str, dict[str, Any]]:
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
    told = teller("identify", "bytes", items, shown, on_step)
    results = log.carry_out(stage, items, told, stall_seconds=stall_seconds)
    return {uri: results[key] for uri, key in keys.items()}


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
        if known and problem and problem[0] in TRANSIENT:
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


def _score(
    corpus: Corpus,
    entries: Entries,
    recipe: Recipe,
    setup: ModelSetup,
    log: LedgeredRunner,
    on_step: StepCallback | None,
) -> Entries:
    """Score every recording that has sound; its status and drops say how that went."""
    stage = Score(corpus.path, recipe.detectors, setup)
    recordings, problems = dict(entries.recordings), {}
    located, outside = with_sound(corpus, recordings.values())
    problems.update({recording_id: ("outside_root", error) for recording_id, error in outside.items()})
    items = []
    for row, path in located:
        item = stage.item(row, path)
        items.append((item.key, row.recording_id, item))
    shown = {row.recording_id: row.uri for row in recordings.values()}
    told = teller("score", "seconds", items, shown, on_step)
    results = log.carry_out(stage, items, told, stall_seconds=STALL_SECONDS, still_kept=stage.complete)
    looked_at = {recording_id for _, recording_id, _ in items} | problems.keys()
    drops = [row for row in entries.drops if row.stage != "score" or row.item not in looked_at]
    for key, recording_id, _ in items:
        outcome, row = results[key], recordings[recording_id]
        status = "ok" if row.status in ("damaged", "quarantined") else row.status
        if outcome["problem"]:
            problems[recording_id] = outcome["problem"]
            if failed_problem(outcome["problem"][0]):
                status = "quarantined"
            elif outcome["problem"][0] not in TRANSIENT:
                status = "unreadable"
        elif outcome["damaged"]:
            status = "damaged"
        recordings[recording_id] = replace(row, status=status)
    drops += [_drop("recording", recording_id, "score", problem) for recording_id, problem in problems.items()]
    return Entries(entries.sources, recordings, drops)
