"""Commit: from what is known of every recording, decide, and write the tables whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import pyarrow as pa

from manifests.recipe import Recipe
from manifests.records import Drop, Recording, Source
from manifests.schema import CorpusError, to_table
from manifests.store import Corpus

from .decide import STAGE, decide
from .stages import load_scores

CHUNK = 256  # recordings whose rows are Python objects at once


@dataclass(frozen=True)
class Entries:
    """Everything decided before the decisions: sources and recordings by id, drops of the stages before."""

    sources: dict[str, Source]
    recordings: dict[str, Recording]
    drops: list[Drop]


def commit(corpus: Corpus, recipe: Recipe, entries: Entries, on_seconds: Callable[[float], None]) -> None:
    """Decide over every recording of `entries` and write all tables; `on_seconds` is told the seconds decided so far."""
    drops = [*entries.drops, *_copies(entries), *_replaced(entries)]
    gone = {row.item for row in drops if row.item_kind == "recording"}
    events: list[pa.Table] = []
    cuts: list[pa.Table] = []
    waiting_events, waiting_cuts = [], []
    done = 0.0
    for number, recording in enumerate(sorted(entries.recordings.values(), key=lambda row: row.recording_id)):
        done += recording.duration or 0.0
        if recording.recording_id not in gone:
            try:
                decided = decide(
                    recording, load_scores(corpus, recording.recording_id, recipe.detectors), recipe
                )
            except FileNotFoundError:
                detail = f"not all of {', '.join(recipe.detectors)} have heard it: curate its source again"
                drops.append(_unscored(recording, detail, recipe))
            except CorpusError as error:
                drops.append(_unscored(recording, f"its scores cannot be read: {error}", recipe))
            else:
                waiting_events += decided.events
                waiting_cuts += decided.cuts
                drops += decided.drops
        if number % CHUNK == CHUNK - 1:
            events.append(to_table("events", waiting_events))
            cuts.append(to_table("cuts", waiting_cuts))
            waiting_events, waiting_cuts = [], []
        on_seconds(done)
    corpus.set_recipe(_plain(asdict(recipe)), recipe.hash)
    corpus.replace("sources", entries.sources.values())
    corpus.replace("recordings", entries.recordings.values())
    corpus.replace("events", pa.concat_tables([*events, to_table("events", waiting_events)]))
    corpus.replace("cuts", pa.concat_tables([*cuts, to_table("cuts", waiting_cuts)]))
    corpus.replace("drops", drops)


def _unscored(recording: Recording, detail: str, recipe: Recipe) -> Drop:
    return Drop(
        item=recording.recording_id,
        item_kind="recording",
        stage=STAGE,
        reason="unscored",
        detail=detail,
        recipe_hash=recipe.hash,
    )


def _copies(entries: Entries) -> list[Drop]:
    """A row for every source whose sound is read from another one."""
    return [
        Drop(
            item=source.source_id,
            item_kind="source",
            stage="commit",
            reason="duplicate",
            detail=f"the same sound as {entries.recordings[source.recording_id].uri}",
        )
        for source in entries.sources.values()
        if source.recording_id in entries.recordings
        and entries.recordings[source.recording_id].uri != source.uri
    ]


def _replaced(entries: Entries) -> list[Drop]:
    """A row for every recording that no source leads to any more."""
    led_to = {source.recording_id for source in entries.sources.values()}
    return [
        Drop(
            item=row.recording_id,
            item_kind="recording",
            stage="commit",
            reason="replaced",
            detail=f"{row.uri} holds another sound now",
        )
        for row in entries.recordings.values()
        if row.recording_id not in led_to
    ]


def _plain(value: object) -> dict[str, object]:
    """Nested mappings and tuples as TOML takes them."""
    plain: dict[str, object] = json.loads(json.dumps(value))
    return plain
