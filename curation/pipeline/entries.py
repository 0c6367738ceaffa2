"""The inputs of a run: sources and recordings by id, and the drops of the stages before the decision."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manifests.errors import Problem
from manifests.identity import source_id
from manifests.ledger import Ledger
from manifests.parquet import Damaged
from manifests.records import Drop, ItemKind, Recording, Source
from manifests.store import Corpus
from manifests.uris import resolve

from ..ingest.folders import Found
from ..runner.ledgered import TRANSIENT, problem_of
from .stages import Identified

# stages whose drops a replay keeps: it reads no media
BEFORE_DECIDING = frozenset({"ingest", "identify", "score"})


@dataclass(frozen=True)
class Entries:
    """Data before the decisions: sources and recordings by id, drops of the earlier stages."""

    sources: dict[str, Source]
    recordings: dict[str, Recording]
    drops: list[Drop]

    @property
    def dropped(self) -> frozenset[str]:
        """The ids of the recordings that an earlier stage dropped."""
        return frozenset(row.item for row in self.drops if row.item_kind == "recording")


def stored_entries(corpus: Corpus, ledger: Ledger) -> Entries:
    """The entries stored in the corpus; drops that are lost or damaged are made again from the ledger."""
    sources = {row.source_id: row for row in corpus.rows(Source)}
    recordings = {row.recording_id: row for row in corpus.rows(Recording)}
    try:
        drops = [row for row in corpus.rows(Drop) if row.stage in BEFORE_DECIDING]
        if corpus.table("drops").files():
            return Entries(sources, recordings, drops)
    except Damaged:
        pass  # the commit, which replaces the file, reports it
    return Entries(sources, recordings, list(_drops_again(sources, recordings, ledger)))


def _drops_again(sources: Mapping[str, Source], recordings: Mapping[str, Recording], ledger: Ledger) -> Iterator[Drop]:
    """The drops of the stages before deciding, from the last results in the ledger."""
    results = {stage: _last_results(ledger, stage) for stage in ("identify", "score")}
    for source in sources.values():
        last = results["identify"].get(source.source_id, {})
        problem = problem_of(last)
        if source.recording_id is None:
            unknown = Problem("unknown", "the row with the reason was lost: curate the source again")
            yield problem_drop("source", source.source_id, "identify", problem or unknown)
        elif problem and last.get("recording") and source.recording_id in recordings:
            yield problem_drop("recording", source.recording_id, "identify", problem)
    for name in recordings:
        if problem := problem_of(results["score"].get(name, {})):
            yield problem_drop("recording", name, "score", problem)


def _last_results(ledger: Ledger, stage: str) -> dict[str, Mapping[str, Any]]:
    """The last result of each item, over all its keys."""
    rows = sorted(ledger.latest(stage).values(), key=lambda row: row.started_at)
    return {row.item: json.loads(row.result or "{}") for row in rows}


def entries_with(
    corpus: Corpus, found: Sequence[Found], identified: Mapping[str, Identified], ledger: Ledger
) -> Entries:
    """The entries stored in the corpus, updated with the files `found`; `identified` by uri."""
    stored = stored_entries(corpus, ledger)
    sources, recordings = stored.sources, stored.recordings
    drops: list[Drop] = []
    met = {source_id(one.uri) for one in found}
    candidates: dict[str, list[Recording]] = {}
    problems: dict[str, dict[str, Problem]] = {}  # by recording and uri
    for one in found:
        result = identified.get(one.uri) or Identified(None, one.problem)
        recording, problem = result.recording, result.problem
        key = source_id(one.uri)
        known = sources.get(key)
        recording_id = recording.recording_id if recording else None
        if known and problem and problem.reason in TRANSIENT:
            recording_id = known.recording_id  # a file that could be read before keeps its recording
        title = one.path.stem.encode("utf-8", "replace").decode()
        source = known or Source(source_id=key, uri=one.uri, origin="folder", title=title)
        sources[key] = replace(source, recording_id=recording_id)
        stage = "ingest" if one.problem else "identify"
        if recording:
            candidates.setdefault(recording.recording_id, []).append(recording)
            if problem:
                problems.setdefault(recording.recording_id, {})[one.uri] = problem
        elif problem:
            drops.append(problem_drop("source", key, stage, problem))
    roots = corpus.roots
    for recording_id, rows in candidates.items():
        best = _best([*rows, *_elsewhere(recordings.get(recording_id), rows)], roots)
        recordings[recording_id] = best
        if found_in := problems.get(recording_id):  # one row, however many files have this content
            problem = found_in.get(best.uri) or next(iter(found_in.values()))
            drops.append(problem_drop("recording", recording_id, "identify", problem))
    again = met | candidates.keys()
    return Entries(sources, recordings, [*(row for row in stored.drops if row.item not in again), *drops])


def problem_drop(kind: ItemKind, item: str, stage: str, problem: Problem) -> Drop:
    """The drop of an item for a problem."""
    return Drop(item=item, item_kind=kind, stage=stage, reason=problem.reason, detail=problem.detail)


def duplicate_sources(entries: Entries) -> list[Drop]:
    """A row for every source whose audio is read from another one."""
    return [
        Drop(
            item=source.source_id,
            item_kind="source",
            stage="commit",
            reason="duplicate",
            detail=f"the same audio as {entries.recordings[source.recording_id].uri}",
        )
        for source in entries.sources.values()
        if source.recording_id in entries.recordings and entries.recordings[source.recording_id].uri != source.uri
    ]


def orphaned_recordings(entries: Entries) -> list[Drop]:
    """A row for every recording without a source."""
    with_source = {source.recording_id for source in entries.sources.values()}
    return [
        Drop(
            item=row.recording_id,
            item_kind="recording",
            stage="commit",
            reason="replaced",
            detail=f"{row.uri} now contains another recording",
        )
        for row in entries.recordings.values()
        if row.recording_id not in with_source
    ]


def _elsewhere(known: Recording | None, rows: Sequence[Recording]) -> list[Recording]:
    """The recording's stored row, if it came from another file than `rows`."""
    return [known] if known and all(known.uri != row.uri for row in rows) else []


def _best(rows: Iterable[Recording], roots: Mapping[str, Path]) -> Recording:
    """The file to read of those with the same recording: with video, the largest frame, undamaged, the first by name.

    A missing file comes last.
    """

    def rank(row: Recording) -> tuple[bool, bool, int, bool, str]:
        try:
            missing = not resolve(row.uri, roots).exists()
        except (ValueError, OSError):
            missing = True
        cut_off = row.status == "truncated"
        return missing, not row.has_video, -(row.width or 0) * (row.height or 0), cut_off, row.uri

    return min(rows, key=rank)
