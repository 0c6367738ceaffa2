"""Review: one person sees a recording and decides over a span of it.

Whoever decides says which rows they had seen (`RecordingState.seen`). Where somebody else said something about the span
since then, nothing is written and the reviewer is shown what changed. Rows are only added: undo is a row, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pyarrow as pa
import pyarrow.compute as pc

from curation.pipeline.redecide import redecide
from manifests.annotations import counted
from manifests.identity import digest
from manifests.labels import load_labels
from manifests.records import TRIMMED, Annotation, Cut, Drop, Event, LabelledSegment, Recording, Ruling, Source, Verdict
from manifests.schema import CorpusError
from manifests.store import Corpus
from manifests.time import from_ms, to_ms
from manifests.verdicts import ASKED, StaleVerdict, current, describe, is_comment

WAIT_SECONDS = 10.0  # for another writer: a decision takes less, a run over the corpus more


@dataclass(frozen=True)
class RecordingState:
    """All that is known of a recording when somebody decides about it.

    `cuts` in order of time; `verdicts`: the current ones, the oldest first; `history`: all of them, likewise;
    `annotations`: the answers that count; `seen`: the ids of all verdicts, to hand back with the
    decision.
    """

    recording: Recording
    sources: tuple[Source, ...]
    cuts: tuple[Cut, ...]
    verdicts: tuple[Verdict, ...]
    history: tuple[Verdict, ...]
    events: tuple[Event, ...]
    annotations: tuple[Annotation, ...]
    drops: tuple[Drop, ...]
    seen: frozenset[str]


class ConflictError(CorpusError):
    """Somebody said something about the span that the reviewer has not seen; `rows` say what, the oldest first."""

    def __init__(self, rows: Iterable[Verdict]) -> None:
        self.rows = tuple(rows)
        super().__init__(f"{'; '.join(describe(row) for row in self.rows)}: look at it before you decide")


@dataclass(frozen=True)
class ReviewRequest:
    """What a reviewer wants to become of a span: [start_ms, end_ms) of a recording.

    `seen`: of the situation they looked at. `keep`: the part that a trim leaves, in ms, with "keep" alone. "open" holds
    a comment. `reasons` are those of the vocabulary.
    """

    recording_id: str
    start_ms: int
    end_ms: int
    decision: Ruling
    author: str
    seen: frozenset[str]
    reasons: tuple[str, ...] = ()
    comment: str | None = None
    keep: tuple[int, int] | None = None


@dataclass(frozen=True)
class ReviewResult:
    """The row that was written, and what the recording's cuts are now."""

    verdict: Verdict
    cuts: tuple[Cut, ...]
    situation: RecordingState


def recording_state(corpus: Corpus, recording_id: str) -> RecordingState:
    """What is known of a recording now. Raises CorpusError for one there is not."""
    ours = pc.field("recording_id") == recording_id
    recording: Recording | None = next(corpus.rows(Recording, ours), None)
    if recording is None:
        raise CorpusError(f"{corpus.path}: no recording {recording_id!r}")
    sources = list(corpus.rows(Source, ours))
    cuts: list[Cut] = sorted(corpus.rows(Cut, ours), key=lambda row: (row.start, row.end))
    history = _history(corpus, recording_id)
    items = [recording_id, *(row.source_id for row in sources), *(row.cut_id for row in cuts)]
    return RecordingState(
        recording=recording,
        sources=tuple(sources),
        cuts=tuple(cuts),
        verdicts=tuple(current(history)),
        history=tuple(history),
        events=tuple(corpus.rows(Event, ours)),
        annotations=counted(corpus.rows(Annotation, ours)).answers,
        drops=tuple(corpus.rows(Drop, pc.field("item").isin(pa.array(items, pa.string())))),
        seen=frozenset(row.verdict_id for row in history),
    )


def decide_span(corpus: Corpus, wish: ReviewRequest) -> ReviewResult:
    """Write the decision, and decide the recording anew by it.

    A decision takes the place of the current one over exactly this span, if there is one; a comment of none. Raises
    ChangedMeanwhile as the module says, Locked while another program writes, and CorpusError for a wish that cannot be:
    no author, a span outside the recording, an unknown reason, a trim that leaves less than a cut must have.
    """
    with corpus.lock("review", WAIT_SECONDS):
        excised = _checked(corpus, wish)
        history = _history(corpus, wish.recording_id)
        comment = (wish.comment or "").strip() or None
        row = Verdict(
            verdict_id="",
            recording_id=wish.recording_id,
            start_ms=wish.start_ms,
            end_ms=wish.end_ms,
            decision=wish.decision,
            reasons=wish.reasons,
            excised=excised,
            method="reviewer",
            author=wish.author.strip(),
            comment=comment,
            made_at=datetime.now(UTC),
        )
        if not is_comment(row):
            _refuse_unseen(row, history, wish.seen)
            row = replace(row, supersedes=_stands(row, history))
        return _written(corpus, row, history)


def request_annotation(
    corpus: Corpus,
    recording_id: str,
    start_ms: int,
    end_ms: int,
    author: str,
    seen: frozenset[str],
    comment: str | None = None,
) -> ReviewResult:
    """Send a span to annotation: it waits for review, and is the first to be asked about in the next round.

    Refused as `decide_span` is.
    """
    wish = ReviewRequest(recording_id, start_ms, end_ms, "unsure", author, seen, reasons=(ASKED,), comment=comment)
    return decide_span(corpus, wish)


def undo(corpus: Corpus, verdict_id: str, author: str, seen: frozenset[str]) -> ReviewResult:
    """Take a row back by one that says what stood in its place before: nothing, or what the row superseded.

    Undoing that brings the row back. Raises ConflictError as `decide_span` does, StaleVerdict for a row that is not
    current any more, and CorpusError for one there is not or that a later decision lies over: undo that first.
    """
    with corpus.lock("review", WAIT_SECONDS):
        found: Verdict | None = next(corpus.rows(Verdict, pc.field("verdict_id") == verdict_id), None)
        if found is None:
            raise CorpusError(f"{corpus.path}: no verdict {verdict_id!r}")
        history = _history(corpus, found.recording_id)
        _refuse_unseen(found, history, seen)
        now = current(history)
        if found not in now:
            by = next(row for row in history if row.supersedes == verdict_id)
            raise StaleVerdict(f"verdict {verdict_id} is not current any more: {describe(by)}")
        before = next((row for row in history if row.verdict_id == found.supersedes), None)
        # a comment comes and goes under decisions; a decision that came back would lie over a later one
        over = [row for row in now[now.index(found) + 1 :] if _overlap(row, found) and row.decision != "open"]
        if over and not (found.decision == "open" and (before is None or before.decision == "open")):
            raise CorpusError(f"{describe(over[-1])}, later than what is to be undone: undo that first")
        blank = replace(found, decision="open", reasons=(), excised=(), confidence=None, comment=None)
        row = replace(
            before or blank,
            method="reviewer",
            author=_author(author),
            made_at=datetime.now(UTC),
            supersedes=verdict_id,
        )
        return _written(corpus, row, history)


def _stands(row: Verdict, history: Iterable[Verdict]) -> str | None:
    """The id of what a decision over exactly this span takes the place of: a decision, else what took one back."""
    here = [other for other in current(history) if _same_span(other, row) and not is_comment(other)]
    last = max(reversed(here), key=lambda other: other.decision != "open", default=None)
    return None if last is None else last.verdict_id


def _history(corpus: Corpus, recording_id: str) -> list[Verdict]:
    rows = corpus.rows(Verdict, pc.field("recording_id") == recording_id)
    return sorted(rows, key=lambda row: (row.made_at, row.verdict_id))


def _written(corpus: Corpus, row: Verdict, history: Iterable[Verdict]) -> ReviewResult:
    """The row named and written, after all of `history` whatever the clocks say, and the recording decided by it."""
    latest = max((other.made_at for other in history), default=None)
    if latest is not None and row.made_at <= latest:
        row = replace(row, made_at=latest + timedelta(microseconds=1))
    excised = [[one.start, one.end, one.label] for one in row.excised]
    extent = row.recording_id, row.start_ms, row.end_ms
    said = row.decision, row.reasons, excised, row.method, row.author, row.comment, row.supersedes
    row = replace(row, verdict_id=digest("verdict", *extent, *said, row.made_at.isoformat()))
    redecide(corpus, [row.recording_id], [row])
    now = recording_state(corpus, row.recording_id)
    return ReviewResult(row, now.cuts, now)


def _checked(corpus: Corpus, wish: ReviewRequest) -> tuple[LabelledSegment, ...]:
    """What the wish cuts away. Raises CorpusError for one that cannot be."""
    _author(wish.author)
    recording: Recording | None = next(corpus.rows(Recording, pc.field("recording_id") == wish.recording_id), None)
    if recording is None:
        raise CorpusError(f"{corpus.path}: no recording {wish.recording_id!r}")
    end_ms = int((recording.duration or 0.0) * 1000)
    span = f"{wish.recording_id}: span {wish.start_ms} to {wish.end_ms} ms"
    if not 0 <= wish.start_ms < wish.end_ms <= end_ms:
        raise CorpusError(f"{span} must lie in the recording, 0 to {end_ms} ms, and not be empty")
    if wish.decision not in get_args(Ruling):
        raise CorpusError(f"{span}: decision {wish.decision!r} is none of {', '.join(get_args(Ruling))}")
    if wish.decision == "open" and not (wish.comment or "").strip():
        raise CorpusError(f"{span}: a row that decides nothing needs a comment")
    if unknown := [name for name in wish.reasons if name not in (ASKED, *load_labels().reasons)]:
        raise CorpusError(f"{span}: reason {unknown[0]!r} is none of {', '.join(load_labels().reasons)}")
    return _trimmed(corpus, wish, span)


def _trimmed(corpus: Corpus, wish: ReviewRequest, span: str) -> tuple[LabelledSegment, ...]:
    if wish.keep is None or wish.keep == (wish.start_ms, wish.end_ms):
        return ()
    start, end = wish.keep
    if wish.decision != "keep":
        raise CorpusError(f"{span}: only what is kept can be trimmed, not {wish.decision!r}")
    if not wish.start_ms <= start < end <= wish.end_ms:
        raise CorpusError(f"{span}: the part to keep, {start} to {end} ms, must lie in it and not be empty")
    least = corpus.active_recipe().spans.min_duration
    if end - start < to_ms(least):
        raise CorpusError(f"{span}: {from_ms(end - start):.3f} s would be left, a cut must last {least:g} s")
    ends = ((wish.start_ms, start), (end, wish.end_ms))
    return tuple(LabelledSegment(start=from_ms(a), end=from_ms(b), label=TRIMMED) for a, b in ends if a < b)


def _author(author: str) -> str:
    if not author.strip():
        raise CorpusError("who decides must give a name: it goes into the row")
    return author.strip()


def _refuse_unseen(span: Verdict, history: Iterable[Verdict], seen: frozenset[str]) -> None:
    unseen = [row for row in history if row.verdict_id not in seen and _overlap(row, span)]
    if unseen:
        raise ConflictError(unseen)


def _overlap(one: Verdict, other: Verdict) -> bool:
    return one.start_ms < other.end_ms and other.start_ms < one.end_ms


def _same_span(one: Verdict, other: Verdict) -> bool:
    return (one.start_ms, one.end_ms) == (other.start_ms, other.end_ms)
