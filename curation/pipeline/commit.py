"""Commits a run: joins the workers' decisions and writes the tables completely."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from manifests.errors import Problem
from manifests.healing import report_healed
from manifests.parquet import REMADE
from manifests.recipe import Recipe
from manifests.records import Annotation, Drop, Recording
from manifests.schema import joined_tables, to_table
from manifests.store import Corpus

from ..decision.human_evidence import annotator_events
from ..duplicates.corpus_index import COMPARE, Copies
from ..runner.ledgered import RAISED
from .entries import Entries, duplicate_sources, orphaned_recordings, problem_drop
from .settle import Settled


@dataclass(frozen=True)
class Tables:
    """The tables that a run writes completely."""

    recordings: Sequence[Recording]
    events: pa.Table
    cuts: pa.Table
    drops: Sequence[Drop]


def join(corpus: Corpus, entries: Entries, copies: Copies, settled: Iterable[Settled]) -> Tables:
    """The tables of the decisions; recordings without a decision keep their stored data."""
    drops = [*entries.drops, *duplicate_sources(entries), *orphaned_recordings(entries)]
    drops += [
        problem_drop("recording", name, COMPARE, Problem(RAISED, text))
        for name, text in sorted(copies.problems.items())
    ]
    recordings = dict(entries.recordings)
    events, cuts = [], []
    for one in sorted(settled, key=lambda one: one.recording_id):
        recordings[one.recording_id] = replace(recordings[one.recording_id], **asdict(one.measures))
        events.append(one.events)
        cuts.append(one.cuts)
        drops += [with_duplicate_source(drop, copies, entries.recordings) for drop in one.drops]
    marked = to_table("events", annotator_events(corpus.rows(Annotation)))
    return Tables(
        [recordings[name] for name in sorted(recordings)],
        joined_tables("events", [*events, marked]),
        joined_tables("cuts", cuts),
        drops,
    )


def commit(corpus: Corpus, recipe: Recipe, entries: Entries, copies: Copies, tables: Tables, command: str) -> None:
    """Write all tables, and the recipe, as one commit of `command`."""
    for name in REMADE:
        for path, problem in corpus.table(name).faults():
            report_healed(path, f"damaged: {problem}", "made again")
    with corpus.commit(command) as change:
        change.replace("sources", entries.sources.values())
        change.replace("recordings", tables.recordings)
        change.replace("duplicates", copies.rows)
        change.replace("events", tables.events)
        change.replace("cuts", tables.cuts)
        change.replace("drops", tables.drops)
        change.set_recipe(recipe.settings(), recipe.hash)


def with_duplicate_source(drop: Drop, copies: Copies, recordings: Mapping[str, Recording]) -> Drop:
    """The drop of a copy, with the recording that it copies; `recordings` contains at least the kept ones."""
    rows = copies.of.get(drop.item, ())
    if drop.reason != "duplicate" or not rows:
        return drop
    held = max(rows, key=lambda row: row.segment.duration)
    uri = recordings[held.kept_id].uri
    detail = f"{held.start:.1f} to {held.end:.1f} s are in {uri} from {held.start + held.offset:.1f} s on"
    return replace(drop, detail=f"{detail}; {drop.detail}")
