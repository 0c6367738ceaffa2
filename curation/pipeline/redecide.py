"""Some recordings decided anew, as people have just said something about them; all other rows stay as they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pyarrow as pa
import pyarrow.compute as pc

from manifests.recipe import Recipe
from manifests.records import Annotation, Drop, Duplicate, Recording, Verdict
from manifests.schema import CorpusError, sort_rows, to_table
from manifests.store import Corpus
from manifests.time import Timeline

from ..decision.decide import STAGE, Decided
from ..decision.human_evidence import annotator_events, evidence_of
from ..detectors.score_store import setup_of
from ..duplicates import DuplicateRow, Match, copied_time
from ..duplicates.corpus_index import Copies, update_index
from ..duplicates.fingerprint import KINDS
from .commit import decide_recording, with_duplicate_source


def redecide(corpus: Corpus, recording_ids: Collection[str], recipe: Recipe | None = None) -> None:
    """Decide again over some recordings, from the kept scores; the caller holds the corpus's lock.

    Their rows in cuts, events and drops become those that a replay of everything by the same recipe (None: the active
    one) would give, as long as no other recording changed. Scores that are not kept any more are not made anew. Raises
    CorpusError for a recording there is not.
    """
    chosen = recipe or corpus.active_recipe()
    setup = setup_of(corpus, chosen)
    ids = sorted(set(recording_ids))
    recordings: dict[str, Recording] = {row.recording_id: row for row in corpus.table("recordings").rows(_of(ids))}
    if missing := [name for name in ids if name not in recordings]:
        raise CorpusError(f"{corpus.path}: no recording {missing[0]}")
    drops = corpus.table("drops").to_arrow()
    before = drops.filter(pc.not_equal(drops["stage"], STAGE))
    gone = set(before.filter(pc.equal(before["item_kind"], "recording"))["item"].to_pylist())
    verdicts: dict[str, list[Verdict]] = {name: [] for name in ids}
    for verdict in corpus.table("verdicts").rows(_of(ids)):
        verdicts[verdict.recording_id].append(verdict)
    copies = known_copies(corpus, chosen, ids)
    kept_ids = {row.kept_id for row in copies.rows}
    kept = {row.recording_id: row for row in corpus.table("recordings").rows(_of(kept_ids))}
    results: list[Decided] = []
    new_drops: list[Drop] = []
    for name in ids:
        if name not in gone:
            time = copies.cut_away.get(name, Timeline.EMPTY)
            result = decide_recording(corpus, recordings[name], chosen, setup, time, evidence_of(verdicts[name]))
            results.append(result)
            new_drops += [with_duplicate_source(drop, copies, kept) for drop in result.drops]
    annotations: Iterable[Annotation] = corpus.table("annotations").rows(_of(ids))
    events = [*(row for result in results for row in result.events), *annotator_events(annotations)]
    cuts = corpus.table("cuts").to_arrow()
    ours = pc.is_in(cuts["recording_id"], value_set=pa.array(ids, pa.string()))
    of_cuts = _is(drops, "cut", cuts.filter(ours)["cut_id"].combine_chunks())
    of_deciding = pc.and_(pc.equal(drops["stage"], STAGE), _is(drops, "recording", pa.array(ids, pa.string())))
    heard = corpus.table("events").to_arrow()
    of_events = pc.is_in(heard["recording_id"], value_set=pa.array(ids, pa.string()))
    _exchange(corpus, "events", heard, of_events, to_table("events", events))
    _exchange(corpus, "cuts", cuts, ours, to_table("cuts", [row for result in results for row in result.cuts]))
    _exchange(corpus, "drops", drops, pc.or_(of_cuts, of_deciding), to_table("drops", new_drops))


def _of(recording_ids: Iterable[str]) -> pc.Expression:
    """The rows of these recordings."""
    return pc.field("recording_id").isin(pa.array(recording_ids, pa.string()))


def _is(drops: pa.Table, kind: str, items: pa.Array) -> pa.ChunkedArray:
    """Which drops are of the items of one kind."""
    return pc.and_(pc.equal(drops["item_kind"], kind), pc.is_in(drops["item"], value_set=items))


def _exchange(corpus: Corpus, name: str, table: pa.Table, gone: pa.ChunkedArray, new: pa.Table) -> None:
    """Write the table with the rows `gone` replaced by `new`, unless they are the same."""
    new = sort_rows(name, new)
    if not sort_rows(name, table.filter(gone)).equals(new):
        corpus.replace(name, pa.concat_tables([table.filter(pc.invert(gone)), new]))


def known_copies(corpus: Corpus, recipe: Recipe, ids: Collection[str]) -> Copies:
    """What of the recordings kept ones hold, as the last run over everything found it."""
    rows: list[Duplicate] = list(corpus.table("duplicates").rows(_of(ids)))
    if not rows:
        return Copies()
    replaced = set(corpus.table("drops").to_arrow(["item"], pc.field("reason") == "replaced")["item"].to_pylist())
    cut_away: dict[str, Timeline] = {}
    for kind in KINDS:
        own = [row for row in rows if row.method == kind]
        if not own or getattr(recipe.duplicates, kind) != "cut":
            continue
        near: dict[str, list[Match]] = {row.recording_id: [] for row in own}
        for match in update_index(corpus, kind, ()):  # nothing to add: what was found before
            if not replaced.isdisjoint((match.recording_id, match.other_id)):
                continue
            for name in near.keys() & {match.recording_id, match.other_id}:
                near[name].append(match)
        others = {
            name for matches in near.values() for match in matches for name in (match.recording_id, match.other_id)
        }
        known = [*own, *corpus.table("duplicates").rows(_of(others))]
        row_of = {row.recording_id: _found(row) for row in known if row.method == kind}
        for name, matches in near.items():
            here = {name, *(other for match in matches for other in (match.recording_id, match.other_id))}
            time = copied_time(name, [row_of[other] for other in sorted(here & row_of.keys())], matches)
            cut_away[name] = cut_away.get(name, Timeline.EMPTY) | time.to_ms()
    return Copies(tuple(rows), cut_away)


def _found(row: Duplicate) -> DuplicateRow:
    return DuplicateRow(row.recording_id, row.kept_id, row.method, row.offset, row.start, row.end)
