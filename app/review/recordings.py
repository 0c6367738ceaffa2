"""Finding a recording, and the next cut to look at."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from manifests.records import Recording, Source
from manifests.store import Corpus
from manifests.time import to_ms

from ..display.text import display_path, file_name, visible

FOUND = 50  # recordings that a search shows


def title(recording: Recording, sources: Iterable[Source]) -> str:
    """The title it was published under; for files the file's name."""
    named = (source.title for source in sources if source.title and source.origin != "folder")
    return visible(next(named, None) or file_name(recording.uri))


def find_recordings(corpus: Corpus, text: str) -> tuple[list[tuple[str, str]], int]:
    """(id, name) of recordings whose file, id or title holds the text, FOUND at most, in order; and how many do."""
    table = corpus.table("recordings").to_arrow(["recording_id", "uri"])
    matching = pa.array([True] * table.num_rows)
    if text:
        sources = corpus.table("sources").to_arrow(["recording_id", "title", "uri"])
        told = pc.or_kleene(*(_holds(sources[name], text) for name in ("title", "uri")))
        ids = sources.filter(told)["recording_id"].drop_null()
        matching = pc.or_(
            pc.is_in(table["recording_id"], ids), pc.or_(*(_holds(table[n], text) for n in table.column_names))
        )
    rows = table.filter(matching).sort_by("uri")
    first = rows.slice(0, FOUND).to_pylist()
    return [(row["recording_id"], visible(display_path(row["uri"]))) for row in first], rows.num_rows


def _holds(column: pa.ChunkedArray, text: str) -> pa.ChunkedArray:
    return pc.fill_null(pc.match_substring(column, text, ignore_case=True), False)


def next_cut(
    corpus: Corpus, recording_id: str, start: float, step: int, decision: str | None = "review"
) -> tuple[str, float] | None:
    """(recording id, start) of the next cut with the decision after (`step` 1) or before (-1) a place, in table order.

    By recording, then by time; None at the end. `decision` None takes any.
    """
    where = None if decision is None else pc.field("decision") == decision
    cuts = corpus.table("cuts").to_arrow(["recording_id", "start"], where)
    same = pc.equal(cuts["recording_id"], recording_id)
    beyond = pc.greater if step > 0 else pc.less
    later = beyond(cuts["start"], to_ms(start) / 1000)
    wanted = pc.or_(beyond(cuts["recording_id"], recording_id), pc.and_(same, later))
    order = "ascending" if step > 0 else "descending"
    found = cuts.filter(wanted)
    if not found.num_rows:
        return None
    best = pc.select_k_unstable(found, 1, [("recording_id", order), ("start", order)])
    row = found.take(best).to_pylist()[0]
    return row["recording_id"], row["start"]
