"""Verdicts: what people decided about spans. Rows are only added; a later one may replace an earlier one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow.compute as pc

from .commits import Commit
from .files import live_parts, merged_path, remove_dead_parts, write_beside
from .parquet import write_parquet
from .records import Verdict, VerdictMethod
from .schema import CorpusError, sort_rows
from .store import Corpus

# by methods whose word is good enough to measure others by
GOLD_METHODS: tuple[VerdictMethod, ...] = ("adjudicator", "expert")
ASKED = "asked"  # the reason of an "unsure" row by which a reviewer asks annotators
PARTS = 64  # files of the table, at most: each decision of a reviewer adds one, and each costs whoever reads


class StaleVerdict(CorpusError):
    """A row would replace one that is not current any more."""


def current(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The rows that no other replaces, the oldest first: where two overlap, the later one counts."""
    rows = list(verdicts)
    gone = {row.supersedes for row in rows}
    return sorted((row for row in rows if row.verdict_id not in gone), key=lambda row: (row.made_at, row.verdict_id))


def is_comment(row: Verdict) -> bool:
    """True if the row only holds a comment. It supersedes no decision."""
    return row.decision == "open" and row.comment is not None


def is_question(row: Verdict) -> bool:
    """True if the row requests annotation: it waits for annotators' answers and contradicts none."""
    return row.decision == "unsure" and ASKED in row.reasons


def decides(row: Verdict) -> bool:
    """True if the row decides what is in the span, or that it cannot be decided."""
    return row.decision != "open" and not is_question(row)


def describe(row: Verdict) -> str:
    """The row as people read it: who decided what over which seconds, and when."""
    plain = "commented on" if is_comment(row) else "took back"
    what = plain if row.decision == "open" else f"decided {row.decision} over"
    span = row.segment
    return f"{row.author} {what} {span.start:.1f} to {span.end:.1f} s at {row.made_at:%Y-%m-%d %H:%M:%S} UTC"


def record(corpus: Corpus, rows: Sequence[Verdict], commit: Commit | None = None) -> None:
    """Add verdicts, all of them or none; the caller holds the corpus's lock.

    They are added at once (None), or with the rest of `commit`; `merge_parts` is then for the caller.
    Raises StaleVerdict, naming what is current, when one would replace a row that does not exist or was
    superseded, and CorpusError for an id that is there already.
    """
    table = corpus.table("verdicts").to_arrow(["verdict_id", "supersedes"])
    pairs = list(zip(table["verdict_id"].to_pylist(), table["supersedes"].to_pylist(), strict=True))
    known = {verdict_id for verdict_id, _ in pairs}
    successor: dict[str, str] = {before: verdict_id for verdict_id, before in pairs if before}
    new = {row.verdict_id: row for row in rows}
    for row in rows:
        if row.verdict_id in known:
            raise CorpusError(f"verdict {row.verdict_id} is there already")
        if row.supersedes is not None:
            if row.supersedes not in known:
                raise StaleVerdict(f"verdict {row.supersedes} is not there to be superseded")
            if (now := successor.get(row.supersedes)) is not None:
                by = new[now] if now in new else next(corpus.rows(Verdict, pc.field("verdict_id") == now))
                raise StaleVerdict(
                    f"verdict {row.supersedes} was superseded by {now}: {by.author} decided {by.decision} "
                    f"at {by.made_at:%Y-%m-%d %H:%M} UTC"
                )
            successor[row.supersedes] = row.verdict_id
        known.add(row.verdict_id)
    if commit is not None:
        commit.append("verdicts", rows)
    else:
        corpus.append("verdicts", rows)
        merge_parts(corpus)


def merge_parts(corpus: Corpus) -> None:
    """Many small files made one; a kill at any point loses no row and doubles none."""
    table = corpus.table("verdicts")
    if len(live_parts(table.folder)) > PARTS:
        with write_beside(merged_path(table.folder)) as file:
            write_parquet(sort_rows("verdicts", table.to_arrow()), file)
    remove_dead_parts(table.folder)
