"""Review: one person decides over a span of a recording.

A decision carries the rows that the reviewer had seen (`RecordingState.seen`). If another person added a row about the
span since then, nothing is written and the reviewer is shown the change. Rows are only added: undo is a row, too.
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
    """All data about a recording that a reviewer decides with.

    `cuts` in order of time; `verdicts`: the current ones, the oldest first; `history`: all of them, likewise;
    `annotations`: the answers that count; `seen`: the ids of all verdicts, to hand back with the decision.
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
    """Verdicts about the span that the reviewer has not seen: `rows`, the oldest first."""

    def __init__(self, rows: Iterable[Verdict]) -> None:
        self.rows = tuple(rows)
        super().__init__(f"{'; '.join(describe(row) for row in self.rows)}: check it before you decide")


@dataclass(frozen=True)
class ReviewRequest:
    """A reviewer's decision about a span: [start_ms, end_ms) of a recording.

    `seen`: of the state they decided on. `keep`: the part that a trim keeps, in ms, with "keep" alone. "open" is for a
    comment. `reasons` are those of the vocabulary.
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
    """The row that was written, and the recording's new cuts."""

    verdict: Verdict
    cuts: tuple[Cut, ...]
    situation: RecordingState


def recording_state(corpus: Corpus, recording_id: str) -> RecordingState:
    """The current data about a recording. Raises CorpusError for an unknown one."""
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


def decide_span(corpus: Corpus, request: ReviewRequest) -> ReviewResult:
    """Write the decision, and decide the recording again with it.

    A decision supersedes the current one over exactly this span; a comment supersedes nothing. Raises ConflictError for
    rows the reviewer has not seen, Locked while another program writes, and CorpusError for an invalid request: no
    author, a span outside the recording, an unknown reason, a trim that keeps less than the minimum duration of a cut.
    """
    with corpus.lock("review", WAIT_SECONDS):
        excised = _checked(corpus, request)
        history = _history(corpus, request.recording_id)
        comment = (request.comment or "").strip() or None
        row = Verdict(
            verdict_id="",
            recording_id=request.recording_id,
            start_ms=request.start_ms,
            end_ms=request.end_ms,
            decision=request.decision,
            reasons=request.reasons,
            excised=excised,
            method="reviewer",
            author=request.author.strip(),
            comment=comment,
            made_at=datetime.now(UTC),
        )
        if not is_comment(row):
            _refuse_unseen(row, history, request.seen)
            row = replace(row, supersedes=_superseded(row, history))
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
    """Send a span to annotation: it waits for review, and comes first in the next round.

    Raises the errors of `decide_span`.
    """
    request = ReviewRequest(recording_id, start_ms, end_ms, "unsure", author, seen, reasons=(ASKED,), comment=comment)
    return decide_span(corpus, request)


def undo(corpus: Corpus, verdict_id: str, author: str, seen: frozenset[str]) -> ReviewResult:
    """Revoke a row by a row that restores the state before: no decision, or that of the row it superseded.

    Undoing that restores the row. Raises ConflictError as `decide_span` does, StaleVerdict for a row that is not
    current any more, and CorpusError for an unknown row or one that a later decision overlaps: undo that first.
    """
    with corpus.lock("review", WAIT_SECONDS):
        revoked: Verdict | None = next(corpus.rows(Verdict, pc.field("verdict_id") == verdict_id), None)
        if revoked is None:
            raise CorpusError(f"{corpus.path}: no verdict {verdict_id!r}")
        history = _history(corpus, revoked.recording_id)
        _refuse_unseen(revoked, history, seen)
        now = current(history)
        if revoked not in now:
            by = next(row for row in history if row.supersedes == verdict_id)
            raise StaleVerdict(f"verdict {verdict_id} is not current any more: {describe(by)}")
        before = next((row for row in history if row.verdict_id == revoked.supersedes), None)
        # comments do not affect decisions; a restored decision would override a later one
        over = [row for row in now[now.index(revoked) + 1 :] if _overlap(row, revoked) and row.decision != "open"]
        if over and not (revoked.decision == "open" and (before is None or before.decision == "open")):
            raise CorpusError(f"{describe(over[-1])}, after the row to undo: undo that first")
        blank = replace(revoked, decision="open", reasons=(), excised=(), confidence=None, comment=None)
        row = replace(
            before or blank,
            method="reviewer",
            author=_author(author),
            made_at=datetime.now(UTC),
            supersedes=verdict_id,
        )
        return _written(corpus, row, history)


def _superseded(row: Verdict, history: Iterable[Verdict]) -> str | None:
    """The id of the row that a decision over exactly this span supersedes: a decision, else a row that revoked one."""
    same_span = [other for other in current(history) if _same_span(other, row) and not is_comment(other)]
    last = max(reversed(same_span), key=lambda other: other.decision != "open", default=None)
    return None if last is None else last.verdict_id


def _history(corpus: Corpus, recording_id: str) -> list[Verdict]:
    rows = corpus.rows(Verdict, pc.field("recording_id") == recording_id)
    return sorted(rows, key=lambda row: (row.made_at, row.verdict_id))


def _written(corpus: Corpus, row: Verdict, history: Iterable[Verdict]) -> ReviewResult:
    """Write the row with its id, dated after all of `history` on any clock, and decide the recording again."""
    latest = max((other.made_at for other in history), default=None)
    if latest is not None and row.made_at <= latest:
        row = replace(row, made_at=latest + timedelta(microseconds=1))
    excised = [[one.start, one.end, one.label] for one in row.excised]
    extent = row.recording_id, row.start_ms, row.end_ms
    content = row.decision, row.reasons, excised, row.method, row.author, row.comment, row.supersedes
    row = replace(row, verdict_id=digest("verdict", *extent, *content, row.made_at.isoformat()))
    redecide(corpus, [row.recording_id], [row])
    now = recording_state(corpus, row.recording_id)
    return ReviewResult(row, now.cuts, now)


def _checked(corpus: Corpus, request: ReviewRequest) -> tuple[LabelledSegment, ...]:
    """The segments that the request cuts away. Raises CorpusError for an invalid request."""
    _author(request.author)
    recording: Recording | None = next(corpus.rows(Recording, pc.field("recording_id") == request.recording_id), None)
    if recording is None:
        raise CorpusError(f"{corpus.path}: no recording {request.recording_id!r}")
    end_ms = int((recording.duration or 0.0) * 1000)
    span = f"{request.recording_id}: span {request.start_ms} to {request.end_ms} ms"
    if not 0 <= request.start_ms < request.end_ms <= end_ms:
        raise CorpusError(f"{span} must be inside the recording, 0 to {end_ms} ms, and not empty")
    if request.decision not in get_args(Ruling):
        raise CorpusError(f"{span}: decision {request.decision!r} must be one of {', '.join(get_args(Ruling))}")
    if request.decision == "open" and not (request.comment or "").strip():
        raise CorpusError(f"{span}: a row without a decision needs a comment")
    if unknown := [name for name in request.reasons if name not in (ASKED, *load_labels().reasons)]:
        raise CorpusError(f"{span}: reason {unknown[0]!r} must be one of {', '.join(load_labels().reasons)}")
    return _trimmed(corpus, request, span)


def _trimmed(corpus: Corpus, request: ReviewRequest, span: str) -> tuple[LabelledSegment, ...]:
    if request.keep is None or request.keep == (request.start_ms, request.end_ms):
        return ()
    start, end = request.keep
    if request.decision != "keep":
        raise CorpusError(f"{span}: only a kept span can be trimmed, decision is {request.decision!r}")
    if not request.start_ms <= start < end <= request.end_ms:
        raise CorpusError(f"{span}: the part to keep, {start} to {end} ms, must be inside it and not empty")
    least = corpus.active_recipe().spans.min_duration
    if end - start < to_ms(least):
        raise CorpusError(f"{span}: {from_ms(end - start):.3f} s would be left, a cut must last at least {least:g} s")
    ends = ((request.start_ms, start), (end, request.end_ms))
    return tuple(LabelledSegment(start=from_ms(a), end=from_ms(b), label=TRIMMED) for a, b in ends if a < b)


def _author(author: str) -> str:
    if not author.strip():
        raise CorpusError("the reviewer's name is missing: it is stored with the decision")
    return author.strip()


def _refuse_unseen(span: Verdict, history: Iterable[Verdict], seen: frozenset[str]) -> None:
    unseen = [row for row in history if row.verdict_id not in seen and _overlap(row, span)]
    if unseen:
        raise ConflictError(unseen)


def _overlap(one: Verdict, other: Verdict) -> bool:
    return one.start_ms < other.end_ms and other.start_ms < one.end_ms


def _same_span(one: Verdict, other: Verdict) -> bool:
    return (one.start_ms, one.end_ms) == (other.start_ms, other.end_ms)
