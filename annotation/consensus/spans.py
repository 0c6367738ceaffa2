"""From windows to spans: what is heard as a whole, and the rows that the table of verdicts lacks.

Rows are only added. Whatever was decided is only taken back by naming it in `supersedes`, one row by one row:

- the same evidence gives no new row, another one a row in place of the current one over the same time;
- a person's row (adjudicator, expert, reviewer) gives way to a person's later answer alone, never to a consensus, and
  where one covers a window or a span a consensus is not written beside it; a reviewer's question to annotators waits
  for just that, a comment is no decision, and what somebody took back is not said again;
- windows that no longer say the same take the place of their span's row: the first of them names it. A row cannot take
  the place of several, so a span that has rows of its windows, its own or another span's, goes on with such.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from manifests.identity import digest
from manifests.records import LabelledSegment, Task, Verdict, VerdictMethod
from manifests.time import from_ms, to_ms
from manifests.verdicts import decides, is_comment

from .outcome import Conflict, ConsensusResult
from .regions import merged, without
from .votes import Span, Window, window_of

PERSONAL: tuple[VerdictMethod, ...] = ("adjudicator", "expert", "reviewer")
"""Methods by which somebody decided who may overrule others."""
ALONE: tuple[VerdictMethod, ...] = ("single", *PERSONAL)


@dataclass(frozen=True)
class Incomplete:
    """A span that was not heard in full: the parts without an outcome, and the conflicts in it."""

    span: Window
    missing: tuple[Span, ...]
    conflicts: tuple[Conflict, ...]


@dataclass(frozen=True)
class Spans:
    """The outcomes of each span that they cover, in order of time, and the spans that are not covered yet."""

    complete: Mapping[Window, tuple[ConsensusResult, ...]]
    incomplete: tuple[Incomplete, ...]


def group_spans(tasks: Iterable[Task], results: Mapping[Window, ConsensusResult | Conflict]) -> Spans:
    """The spans of all tasks, with what their windows came to. A span is heard when outcomes cover all of it."""
    windows: dict[Window, set[Window]] = defaultdict(set)
    for task in tasks:
        windows[Window(task.recording_id, task.span_start_ms, task.span_end_ms)].add(window_of(task))
    complete: dict[Window, tuple[ConsensusResult, ...]] = {}
    incomplete = []
    for span in sorted(windows):
        # a window of another span may be all of this one
        here = [results[window] for window in sorted({*windows[span], span}) if window in results]
        outcomes = tuple(one for one in here if isinstance(one, ConsensusResult))
        covered = merged((one.window.start_ms, one.window.end_ms) for one in outcomes)
        if missing := without([(span.start_ms, span.end_ms)], covered):
            conflicts = tuple(one for one in here if isinstance(one, Conflict))
            incomplete.append(Incomplete(span, missing, conflicts))
        else:
            complete[span] = outcomes
    return Spans(complete, tuple(incomplete))


def new_verdicts(spans: Spans, existing: Iterable[Verdict]) -> list[Verdict]:
    """The rows to append to `existing`, the whole table, so that it says what the complete spans came to.

    Appended, they leave nothing to add: a second call gives no row.
    """
    rows = list(existing)
    known = {row.verdict_id for row in rows}
    gone = {row.supersedes for row in rows}
    tables: dict[str, dict[Window, list[Verdict]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.verdict_id not in gone and not is_comment(row):
            tables[row.recording_id][_extent(row)].append(row)
    told = {extent for table in tables.values() for extent, here in table.items() if here}
    by_span = _candidates(spans, told)
    # spans that are to be taken apart: their own rows give way to the first window's
    apart = {
        span: [row for row in tables[span.recording_id][span] if not _stands(row)]
        for span, candidates in by_span.items()
        if all(_extent(row) != span for row in candidates)
    }
    pairs = [(span, candidate) for span, candidates in by_span.items() for candidate in candidates]
    new: list[Verdict] = []
    seen: set[Window] = set()  # two spans may share a window
    # persons first: where they have spoken a consensus is not written
    for span, candidate in sorted(pairs, key=lambda pair: pair[1].method not in PERSONAL):
        extent, current = _extent(candidate), tables[span.recording_id]
        if extent in seen:
            continue
        seen.add(extent)
        if not _may_add(candidate, current) or _taken_back(candidate, current[extent], rows):
            continue
        before = current[extent] or apart.get(span, [])
        last = max(before, key=lambda row: (row.made_at, row.verdict_id), default=None)
        row = _named(replace(candidate, supersedes=None if last is None else last.verdict_id))
        if row.verdict_id in known:
            continue  # was said before, and somebody took it back
        if last in apart.get(span, []):
            apart[span].remove(last)
        current[extent].append(row)
        new.append(row)
    return new


def _candidates(spans: Spans, told: set[Window]) -> dict[Window, list[Verdict]]:
    """The rows that each complete span comes to: one, or one for each window; not yet named.

    A span goes by windows when they differ, or when one of them has a row: in the table (`told`), as a span of its own,
    or since another span goes by windows. What that leads to does not depend on the order of the spans.
    """
    told = told | set(spans.complete)
    shapes: dict[Window, list[Verdict]] = {}
    whole = {span: _joined(span, outcomes) for span, outcomes in spans.complete.items()}
    while parted := [
        span
        for span, outcomes in spans.complete.items()
        if span not in shapes
        and (whole[span] is None or any(one.window in told for one in outcomes if one.window != span))
    ]:
        for span in parted:
            shapes[span] = [_row(one.window, [one]) for one in spans.complete[span]]
            told |= {one.window for one in spans.complete[span]}
    return {span: [row] if span not in shapes and row is not None else shapes[span] for span, row in whole.items()}


def _may_add(candidate: Verdict, current: Mapping[Window, Sequence[Verdict]]) -> bool:
    """Whether the row says something new, and no person's word stands against it; `current`: of its recording."""
    if any(_said(row) == _said(candidate) for row in current.get(_extent(candidate), ())):
        return False
    over = [
        row
        for rows in current.values()
        for row in rows
        if _stands(row) and row.start_ms <= candidate.start_ms and candidate.end_ms <= row.end_ms
    ]
    return not over or (candidate.method in PERSONAL and all(row.made_at < candidate.made_at for row in over))


def _stands(row: Verdict) -> bool:
    """Whether a person decided by this row."""
    return row.method in PERSONAL and decides(row)


def _taken_back(candidate: Verdict, here: Iterable[Verdict], rows: Iterable[Verdict]) -> bool:
    """Whether this was said over this span before, and somebody took it back; `here`: what is current there."""
    if all(row.decision != "open" for row in here):
        return False
    return any(_extent(row) == _extent(candidate) and _said(row) == _said(candidate) for row in rows)


def _joined(span: Window, outcomes: Sequence[ConsensusResult]) -> Verdict | None:
    """One row over the span when all its windows say the same with the same authority, else None."""
    first = outcomes[0]

    def says(one: ConsensusResult) -> tuple[object, ...]:
        return one.decision, one.reasons, one.method, one.voters if one.method in ALONE else None

    return _row(span, outcomes) if all(says(one) == says(first) for one in outcomes) else None


def _row(extent: Window, outcomes: Sequence[ConsensusResult]) -> Verdict:
    """The row over `extent` of outcomes that say the same; as sure as the least sure of them. Not yet named."""
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
    """All stretches; where windows overlap, what either excises is excised."""
    spans: dict[str, list[Span]] = defaultdict(list)
    for one in outcomes:
        for stretch in one.excised:
            spans[stretch.label].append((to_ms(stretch.start), to_ms(stretch.end)))
    joined = sorted((start, end, label) for label, found in spans.items() for start, end in merged(found))
    return tuple(LabelledSegment(start=from_ms(start), end=from_ms(end), label=label) for start, end, label in joined)


def _named(row: Verdict) -> Verdict:
    """The row with its id, made of what it says: the same evidence gives the same id at any time."""
    excised = [[one.start, one.end, one.label] for one in row.excised]
    extent = row.recording_id, row.start_ms, row.end_ms
    said = row.decision, row.reasons, excised, row.method, row.author, row.supersedes
    return replace(row, verdict_id=digest("verdict", *extent, *said))


def _extent(row: Verdict) -> Window:
    return Window(row.recording_id, row.start_ms, row.end_ms)


def _said(row: Verdict) -> tuple[object, ...]:
    return row.decision, row.reasons, row.excised, row.method, row.author
