"""From windows to spans: finds the complete spans, and the rows that the table of verdicts lacks.

Rows are only added. A decision is only revoked by a row that names it in `supersedes`, one row by one row:

- the same evidence gives no new row; different evidence gives a row that supersedes the current one over the same time;
- a person's row (adjudicator, expert, reviewer) is superseded only by a person's later answer, never by a consensus,
  and no consensus is written for a window or span inside it; a reviewer's question to annotators waits for exactly
  that, a comment is no decision, and a row that a person revoked is not written again;
- if the windows of a span start to disagree, their rows supersede the span's row: the first of them names it. A row
  cannot supersede several, so a span with rows of its windows, its own or another span's, continues with such rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from manifests.identity import digest
from manifests.records import LabelledSegment, Task, Verdict, VerdictMethod
from manifests.time import from_ms, to_ms
from manifests.verdicts import decides, is_comment

from ..tasks.windows import Window, window_of
from .outcome import Conflict, ConsensusResult
from .regions import merged, without
from .votes import Span

PERSONAL: tuple[VerdictMethod, ...] = ("adjudicator", "expert", "reviewer")
"""Methods of people who may overrule others."""
ALONE: tuple[VerdictMethod, ...] = ("single", *PERSONAL)


@dataclass(frozen=True)
class Incomplete:
    """A span that is not judged completely: the parts without a result, and the conflicts in it."""

    span: Window
    missing: tuple[Span, ...]
    conflicts: tuple[Conflict, ...]


@dataclass(frozen=True)
class Spans:
    """The results of each span that they cover, in order of time, and the spans that are not covered yet."""

    complete: Mapping[Window, tuple[ConsensusResult, ...]]
    incomplete: tuple[Incomplete, ...]


def group_spans(tasks: Iterable[Task], results: Mapping[Window, ConsensusResult | Conflict]) -> Spans:
    """The spans of all tasks, with the results of their windows. A span is complete if results cover all of it."""
    windows: dict[Window, set[Window]] = defaultdict(set)
    for task in tasks:
        windows[Window(task.recording_id, task.span_start_ms, task.span_end_ms)].add(window_of(task))
    complete: dict[Window, tuple[ConsensusResult, ...]] = {}
    incomplete = []
    for span in sorted(windows):
        # a window of another span may be all of this one
        of_span = [results[window] for window in sorted({*windows[span], span}) if window in results]
        outcomes = tuple(one for one in of_span if isinstance(one, ConsensusResult))
        covered = merged((one.window.start_ms, one.window.end_ms) for one in outcomes)
        if missing := without([(span.start_ms, span.end_ms)], covered):
            conflicts = tuple(one for one in of_span if isinstance(one, Conflict))
            incomplete.append(Incomplete(span, missing, conflicts))
        else:
            complete[span] = outcomes
    return Spans(complete, tuple(incomplete))


def new_verdicts(spans: Spans, existing: Iterable[Verdict]) -> list[Verdict]:
    """The rows to append to `existing`, the whole table, so that it contains the results of the complete spans.

    After they are appended, a second call returns no row.
    """
    rows = list(existing)
    known = {row.verdict_id for row in rows}
    gone = {row.supersedes for row in rows}
    tables: dict[str, dict[Window, list[Verdict]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.verdict_id not in gone and not is_comment(row):
            tables[row.recording_id][_extent(row)].append(row)
    with_rows = {extent for table in tables.values() for extent, current in table.items() if current}
    by_span = _candidates(spans, with_rows)
    # spans to split into windows: their own rows are superseded by the first window's
    split = {
        span: [row for row in tables[span.recording_id][span] if not _is_personal(row)]
        for span, candidates in by_span.items()
        if all(_extent(row) != span for row in candidates)
    }
    pairs = [(span, candidate) for span, candidates in by_span.items() for candidate in candidates]
    new: list[Verdict] = []
    handled: set[Window] = set()  # two spans may share a window
    # people first: no consensus is written over their decisions
    for span, candidate in sorted(pairs, key=lambda pair: pair[1].method not in PERSONAL):
        extent, current = _extent(candidate), tables[span.recording_id]
        if extent in handled:
            continue
        handled.add(extent)
        if not _may_add(candidate, current) or _is_revoked(candidate, current[extent], rows):
            continue
        before = current[extent] or split.get(span, [])
        last = max(before, key=lambda row: (row.made_at, row.verdict_id), default=None)
        row = _named(replace(candidate, supersedes=None if last is None else last.verdict_id))
        if row.verdict_id in known:
            continue  # was written before, and a person revoked it
        if last in split.get(span, []):
            split[span].remove(last)
        current[extent].append(row)
        new.append(row)
    return new


def _candidates(spans: Spans, with_rows: set[Window]) -> dict[Window, list[Verdict]]:
    """The rows of each complete span: one, or one for each window; without ids.

    A span gets rows by window if its windows differ, or if one of them has a row: in the table (`with_rows`), as a span
    of its own, or because another span gets rows by window. The result does not depend on the order of the spans.
    """
    with_rows = with_rows | set(spans.complete)
    shapes: dict[Window, list[Verdict]] = {}
    whole = {span: _joined(span, outcomes) for span, outcomes in spans.complete.items()}
    while parted := [
        span
        for span, outcomes in spans.complete.items()
        if span not in shapes
        and (whole[span] is None or any(one.window in with_rows for one in outcomes if one.window != span))
    ]:
        for span in parted:
            shapes[span] = [_row(one.window, [one]) for one in spans.complete[span]]
            with_rows |= {one.window for one in spans.complete[span]}
    return {span: [row] if span not in shapes and row is not None else shapes[span] for span, row in whole.items()}


def _may_add(candidate: Verdict, current: Mapping[Window, Sequence[Verdict]]) -> bool:
    """True if the row is new and no person's decision forbids it; `current`: of its recording."""
    if any(_content(row) == _content(candidate) for row in current.get(_extent(candidate), ())):
        return False
    over = [
        row
        for rows in current.values()
        for row in rows
        if _is_personal(row) and row.start_ms <= candidate.start_ms and candidate.end_ms <= row.end_ms
    ]
    return not over or (candidate.method in PERSONAL and all(row.made_at < candidate.made_at for row in over))


def _is_personal(row: Verdict) -> bool:
    """True if a person decided by this row."""
    return row.method in PERSONAL and decides(row)


def _is_revoked(candidate: Verdict, current: Iterable[Verdict], rows: Iterable[Verdict]) -> bool:
    """True if this row was written over this span before, and a person revoked it.

    `current`: the current rows of the span.
    """
    if all(row.decision != "open" for row in current):
        return False
    return any(_extent(row) == _extent(candidate) and _content(row) == _content(candidate) for row in rows)


def _joined(span: Window, outcomes: Sequence[ConsensusResult]) -> Verdict | None:
    """One row over the span if all its windows have the same result with the same authority, else None."""
    first = outcomes[0]

    def content(one: ConsensusResult) -> tuple[object, ...]:
        return one.decision, one.reasons, one.method, one.voters if one.method in ALONE else None

    return _row(span, outcomes) if all(content(one) == content(first) for one in outcomes) else None


def _row(extent: Window, outcomes: Sequence[ConsensusResult]) -> Verdict:
    """The row over `extent` for equal results; its confidence is the lowest of theirs. Without an id."""
    first = outcomes[0]
    voters = ", ".join(sorted({name for one in outcomes for name in one.voters}))
    sure = [one.confidence for one in outcomes if one.confidence is not None]
    return Verdict(
        verdict_id="",
        recording_id=extent.recording_id,
        start_ms=extent.start_ms,
        end_ms=extent.end_ms,
        decision=first.decision,
        reasons=first.reasons,
        excised=_excised(outcomes),
        method=first.method,
        confidence=min(sure, default=None),
        author=voters if first.method in ALONE else f"consensus of {voters}",
        made_at=max(one.made_at for one in outcomes),
    )


def _excised(outcomes: Sequence[ConsensusResult]) -> tuple[LabelledSegment, ...]:
    """All excised segments; where windows overlap, a segment of either is excised."""
    spans: dict[str, list[Span]] = defaultdict(list)
    for one in outcomes:
        for segment in one.excised:
            spans[segment.label].append((to_ms(segment.start), to_ms(segment.end)))
    joined = sorted((start, end, label) for label, marked in spans.items() for start, end in merged(marked))
    return tuple(LabelledSegment(start=from_ms(start), end=from_ms(end), label=label) for start, end, label in joined)


def _named(row: Verdict) -> Verdict:
    """The row with its id, a digest of its content: the same evidence gives the same id at any time."""
    excised = [[one.start, one.end, one.label] for one in row.excised]
    extent = row.recording_id, row.start_ms, row.end_ms
    content = row.decision, row.reasons, excised, row.method, row.author, row.supersedes
    return replace(row, verdict_id=digest("verdict", *extent, *content))


def _extent(row: Verdict) -> Window:
    return Window(row.recording_id, row.start_ms, row.end_ms)


def _content(row: Verdict) -> tuple[object, ...]:
    return row.decision, row.reasons, row.excised, row.method, row.author
