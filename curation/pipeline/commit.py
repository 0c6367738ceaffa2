"""Commit: from what is known of every recording, decide, and write the tables whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from manifests.recipe import Recipe
from manifests.records import Drop, Measured, Recording, Source
from manifests.schema import to_table
from manifests.store import Corpus
from manifests.time import Timeline

from ..decision.decide import STAGE, Decided, decide
from ..decision.human_evidence import NO_EVIDENCE, HumanEvidence, annotator_events, load_evidence
from ..detectors import PICTURE, ModelSetup
from ..detectors.score_store import load_scores
from ..duplicates.corpus_index import Copies

OBJECTS = 20_000  # rows that are Python objects at once


@dataclass(frozen=True)
class Entries:
    """Everything decided before the decisions: sources and recordings by id, drops of the stages before."""

    sources: dict[str, Source]
    recordings: dict[str, Recording]
    drops: list[Drop]


def commit(
    corpus: Corpus,
    recipe: Recipe,
    setup: ModelSetup,
    entries: Entries,
    copies: Copies,
    on_seconds: Callable[[float], None],
) -> None:
    """Decide over every recording of `entries` and write all tables.

    `on_seconds` is told how many seconds of sound are decided on so far.
    """
    drops = [*entries.drops, *_copies(entries), *orphaned_recordings(entries)]
    gone = {row.item for row in drops if row.item_kind == "recording"}
    recordings: list[Recording] = []
    events, cuts = _Rows("events"), _Rows("cuts")
    heard = load_evidence(corpus)
    seconds = 0.0
    for recording in sorted(entries.recordings.values(), key=lambda row: row.recording_id):
        measured = recording
        if recording.recording_id not in gone:
            copied = copies.cut_away.get(recording.recording_id, Timeline.EMPTY)
            people = heard.get(recording.recording_id, NO_EVIDENCE)
            decided = decide_recording(corpus, recording, recipe, setup, copied, people)
            measured = replace(recording, **asdict(decided.measures))
            events.add(decided.events)
            cuts.add(decided.cuts)
            drops += [with_duplicate_source(drop, copies, entries.recordings) for drop in decided.drops]
        recordings.append(measured)
        seconds += recording.duration or 0.0
        on_seconds(seconds)
    events.add(annotator_events(corpus.table("annotations").rows()))
    corpus.set_recipe(recipe.settings(), recipe.hash)
    corpus.replace("sources", entries.sources.values())
    corpus.replace("recordings", recordings)
    corpus.replace("duplicates", copies.rows)
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


def decide_recording(
    corpus: Corpus, recording: Recording, recipe: Recipe, setup: ModelSetup, copied: Timeline, people: HumanEvidence
) -> Decided:
    """The decision, or a drop where the scores it needs are not there."""
    try:
        scores = load_scores(corpus, recording.recording_id, (*recipe.all_detectors, PICTURE), setup)
    except ValueError as error:
        return _undecided(recording, f"its scores cannot be read: {error}", recipe)
    deaf = [name for name in recipe.detectors if name not in scores]
    if deaf:
        return _undecided(recording, f"{', '.join(deaf)} never heard it: curate its source", recipe)
    return decide(recording, scores, recipe, copied, people)


def _undecided(recording: Recording, detail: str, recipe: Recipe) -> Decided:
    drop = Drop(
        item=recording.recording_id,
        item_kind="recording",
        stage=STAGE,
        reason="unscored",
        detail=detail,
        recipe_hash=recipe.hash,
    )
    return Decided((), (), (drop,), Measured())


def with_duplicate_source(drop: Drop, copies: Copies, recordings: Mapping[str, Recording]) -> Drop:
    """The drop of a copy says of what it is one; `recordings` holds at least those it is a copy of."""
    rows = copies.of.get(drop.item, ())
    if drop.reason != "duplicate" or not rows:
        return drop
    held = max(rows, key=lambda row: row.segment.duration)
    uri = recordings[held.kept_id].uri
    detail = f"{held.start:.1f} to {held.end:.1f} s are in {uri} from {held.start + held.offset:.1f} s on"
    return replace(drop, detail=f"{detail}; {drop.detail}")


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


def orphaned_recordings(entries: Entries) -> list[Drop]:
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
