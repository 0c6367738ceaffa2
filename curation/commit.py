"""Commit: from what is known of every recording, decide, and write the tables whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import pyarrow as pa

from manifests.recipe import Recipe
from manifests.records import Drop, Recording, Source
from manifests.schema import to_table
from manifests.store import Corpus

from .decide import STAGE, Decided, decide
from .stages import load_scores

OBJECTS = 20_000  # rows that are Python objects at once


@dataclass(frozen=True)
class Entries:
    """Everything decided before the decisions: sources and recordings by id, drops of the stages before."""

    sources: dict[str, Source]
    recordings: dict[str, Recording]
    drops: list[Drop]


def commit(corpus: Corpus, recipe: Recipe, entries: Entries, on_seconds: Callable[[float], None]) -> None:
    """Decide over every recording of `entries` and write all tables.

    `on_seconds` is told how many seconds of sound are decided on so far.
    """
    drops = [*entries.drops, *_copies(entries), *_replaced(entries)]
    gone = {row.item for row in drops if row.item_kind == "recording"}
    events, cuts = _Rows("events"), _Rows("cuts")
    seconds = 0.0
    for recording in sorted(entries.recordings.values(), key=lambda row: row.recording_id):
        if recording.recording_id not in gone:
            decided = _decided(corpus, recording, recipe)
            events.add(decided.events)
            cuts.add(decided.cuts)
            drops += decided.drops
        seconds += recording.duration or 0.0
        on_seconds(seconds)
    corpus.set_recipe(_plain(asdict(recipe)), recipe.hash)
    corpus.replace("sources", entries.sources.values())
    corpus.replace("recordings", entries.recordings.values())
    corpus.replace("events", events.table())
    corpus.replace("cuts", cuts.table())
    corpus.replace("drops", drops)


class _Rows:
    """Rows of a table on their way to it: some as objects, the rest as Arrow."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tables: list[pa.Table] = []
        self._waiting: list[object] = []

    def add(self, rows: Iterable[object]) -> None:
        self._waiting += rows
        if len(self._waiting) >= OBJECTS:
            self._tables.append(to_table(self._name, self._waiting))
            self._waiting = []

    def table(self) -> pa.Table:
        return pa.concat_tables([*self._tables, to_table(self._name, self._waiting)])


def _decided(corpus: Corpus, recording: Recording, recipe: Recipe) -> Decided:
    """The decision, or a drop where the scores it needs are not there."""
    try:
        scores = load_scores(corpus, recording.recording_id, recipe.detectors)
    except FileNotFoundError:
        names = ", ".join(recipe.detectors)
        return Decided((), (), (_unscored(recording, f"not all of {names} have heard it: curate its source", recipe),))
    except ValueError as error:
        return Decided((), (), (_unscored(recording, f"its scores cannot be read: {error}", recipe),))
    return decide(recording, scores, recipe)


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
        if source.recording_id in entries.recordings and entries.recordings[source.recording_id].uri != source.uri
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
