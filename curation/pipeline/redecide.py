"""Decides some recordings again after new verdicts; all other rows stay unchanged."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from manifests.commits import Commit
from manifests.records import Annotation, Drop, Recording, Verdict
from manifests.schema import CorpusError, joined_tables, sort_rows, to_table
from manifests.store import Corpus, UnfinishedCommit
from manifests.time import Timeline
from manifests.verdicts import merge_parts, record

from ..decision.decide import STAGE
from ..decision.human_evidence import annotator_events, evidence_of
from ..detectors.score_store import setup_of
from ..duplicates.corpus_index import known_copies
from .commit import with_duplicate_source
from .settle import Request, Settled, settle


def redecide(corpus: Corpus, recording_ids: Collection[str], new: Sequence[Verdict] = ()) -> None:
    """Decide again over some recordings, by the active recipe, from the stored scores; the caller holds the lock.

    `new` verdicts over them count, and are recorded in the same commit. The rows of the recordings in cuts, events and
    drops become those of a replay of the whole corpus, if no other recording changed. Missing scores stay missing.
    Raises CorpusError for an unknown recording, StaleVerdict as `verdicts.record` does, and UnfinishedCommit if the
    other recordings were decided by another recipe; nothing is written then.
    """
    corpus.check_finished()
    chosen = corpus.active_recipe()
    if chosen.hash != corpus.recipe_hash:
        raise UnfinishedCommit(
            f"{corpus.path}: was decided by recipe {corpus.recipe_hash}, which this version reads as {chosen.hash}: "
            "run lpse replay"
        )
    setup = setup_of(corpus, chosen)
    ids = sorted(set(recording_ids))
    recordings: dict[str, Recording] = {row.recording_id: row for row in corpus.rows(Recording, _of(ids))}
    if missing := [name for name in ids if name not in recordings]:
        raise CorpusError(f"{corpus.path}: no recording {missing[0]}")
    drops = corpus.table("drops").to_arrow()
    before = drops.filter(pc.not_equal(drops["stage"], STAGE))
    gone = set(before.filter(pc.equal(before["item_kind"], "recording"))["item"].to_pylist())
    verdicts: dict[str, list[Verdict]] = {name: [] for name in ids}
    for verdict in [*corpus.rows(Verdict, _of(ids)), *new]:
        verdicts[verdict.recording_id].append(verdict)
    copies = known_copies(corpus, chosen.duplicates, ids)
    kept_ids = {row.kept_id for row in copies.rows}
    kept = {row.recording_id: row for row in corpus.rows(Recording, _of(kept_ids))}
    results: list[Settled] = []
    new_drops: list[Drop] = []
    for name in ids:
        if name not in gone:
            time, people = copies.cut_away.get(name, Timeline.EMPTY), evidence_of(verdicts[name])
            # without a path: deciding again reads no media
            result = settle(corpus, Request(recordings[name], None, time, people), chosen, setup)
            results.append(result)
            new_drops += [with_duplicate_source(drop, copies, kept) for drop in result.drops]
    annotations = corpus.rows(Annotation, _of(ids))
    marked = to_table("events", annotator_events(annotations))
    events = joined_tables("events", [*(result.events for result in results), marked])
    cuts = corpus.table("cuts").to_arrow()
    ours = pc.is_in(cuts["recording_id"], value_set=pa.array(ids, pa.string()))
    of_cuts = _is(drops, "cut", cuts.filter(ours)["cut_id"].combine_chunks())
    of_deciding = pc.and_(pc.equal(drops["stage"], STAGE), _is(drops, "recording", pa.array(ids, pa.string())))
    old_events = corpus.table("events").to_arrow()
    of_events = pc.is_in(old_events["recording_id"], value_set=pa.array(ids, pa.string()))
    new_cuts = joined_tables("cuts", (result.cuts for result in results))
    with corpus.commit("lpse review") as change:
        record(corpus, new, change)
        _exchange(change, "events", old_events, of_events, events)
        _exchange(change, "cuts", cuts, ours, new_cuts)
        _exchange(change, "drops", drops, pc.or_(of_cuts, of_deciding), to_table("drops", new_drops))
    merge_parts(corpus)


def _of(recording_ids: Iterable[str]) -> pc.Expression:
    """The rows of these recordings."""
    return pc.field("recording_id").isin(pa.array(recording_ids, pa.string()))


def _is(drops: pa.Table, kind: str, items: pa.Array) -> pa.ChunkedArray:
    """True for the drops of these items of one kind."""
    return pc.and_(pc.equal(drops["item_kind"], kind), pc.is_in(drops["item"], value_set=items))


def _exchange(change: Commit, name: str, table: pa.Table, gone: pa.ChunkedArray, new: pa.Table) -> None:
    """Write the table with the rows `gone` replaced by `new`, unless they are the same."""
    new = sort_rows(name, new)
    if not sort_rows(name, table.filter(gone)).equals(new):
        change.replace(name, pa.concat_tables([table.filter(pc.invert(gone)), new]))
