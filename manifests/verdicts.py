"""Verdicts: what people decided about spans. Rows are only added; a later one may take the place of an earlier one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .records import Verdict, VerdictMethod
from .schema import CorpusError
from .store import Corpus

# by methods whose word is good enough to measure others by
KNOWN: tuple[VerdictMethod, ...] = ("adjudicator", "expert")


class StaleVerdict(CorpusError):
    """A row would take the place of one that is not current any more."""


def current(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The rows that no other takes the place of, the oldest first: where two overlap, the later one counts."""
    rows = list(verdicts)
    gone = {row.supersedes for row in rows}
    return sorted((row for row in rows if row.verdict_id not in gone), key=lambda row: (row.made_at, row.verdict_id))


def record(corpus: Corpus, rows: Sequence[Verdict]) -> None:
    """Add verdicts; the caller holds the corpus's lock. All of them or none.

    Raises StaleVerdict, naming what is current, when one would take the place of a row that is not there or was
    superseded, and CorpusError for an id that is there already.
    """
    known: dict[str, Verdict] = {row.verdict_id: row for row in corpus.table("verdicts").rows()}
    successor = {row.supersedes: row for row in known.values() if row.supersedes}
    for row in rows:
        if row.verdict_id in known:
            raise CorpusError(f"verdict {row.verdict_id} is there already")
        if row.supersedes is not None:
            if row.supersedes not in known:
                raise StaleVerdict(f"verdict {row.supersedes} is not there to be superseded")
            if (now := successor.get(row.supersedes)) is not None:
                raise StaleVerdict(
                    f"verdict {row.supersedes} was superseded by {now.verdict_id}: {now.author} decided {now.decision} "
                    f"at {now.made_at:%Y-%m-%d %H:%M} UTC"
                )
            successor[row.supersedes] = row
        known[row.verdict_id] = row
    corpus.append("verdicts", rows)
