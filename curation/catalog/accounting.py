"""The account: where each second of a corpus went, and what did not make it for which reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from manifests.records import Cut, CutDecision, Drop, Duplicate, Event, ItemKind, Recording
from manifests.time import Segment, Timeline

from ..decision.decide import STAGE as DECIDE
from ..decision.human_evidence import ANNOTATOR

DECISIONS: tuple[CutDecision, ...] = ("accept", "review", "reject")
EXCLUDING = ("speech", "singing", "music", "artifact", "silence")
DUPLICATE = "duplicate"
OUTCOMES = (*DECISIONS, DUPLICATE, *EXCLUDING, "too_short", "unheard")


@dataclass(frozen=True)
class CutTotal:
    """Cuts of one decision: how many, and how long in all."""

    cuts: int
    seconds: float


@dataclass(frozen=True)
class DropTotal:
    """Items of one kind that were dropped for one reason; `seconds` is None where no length is known."""

    item_kind: ItemKind
    reason: str
    items: int
    seconds: float | None


@dataclass(frozen=True)
class CorpusAccount:
    """Seconds by fate, of each recording and of all; `drops` largest first."""

    recordings: int
    by_recording: Mapping[str, Mapping[str, float]]
    seconds: Mapping[str, float]
    cuts: Mapping[CutDecision, CutTotal]
    drops: tuple[DropTotal, ...]

    @property
    def duration(self) -> float:
        """Seconds in all; a recording that nobody could read has none."""
        return sum(self.seconds.values())


def account(
    recording: Recording, events: Iterable[Event], cuts: Iterable[Cut], copies: Iterable[Duplicate] = ()
) -> dict[str, float]:
    """Seconds of a recording that was decided on, by fate (every one of FATES); they sum to its duration.

    Time in cuts counts for their decision (the first of DECISIONS where cuts overlap). Other time that a kept copy
    holds is "duplicate"; of the rest, time in events counts for them (the first of EXCLUDING where several overlap).
    What is left is "too_short": pure, but no piece of it is long enough for a cut, or it is in the guard around an
    event. All 0 without a duration.
    """
    seconds = dict.fromkeys(OUTCOMES, 0.0)
    if not recording.duration:
        return seconds
    claims: dict[str, list[Segment]] = defaultdict(list)
    for cut in cuts:
        claims[cut.decision].append(cut.segment)
    for event in events:
        if not event.source.startswith(ANNOTATOR):  # one person's marks decide nothing: verdicts do
            claims[event.label].append(event.segment)
    kept = Timeline(segment for decision in DECISIONS for segment in claims[decision])
    # a copy that is only noted may be in cuts: nothing of it is lost for being one
    claims[DUPLICATE] = [copy.segment for copy in copies if not kept.overlapping(copy.segment)]
    left = Timeline([Segment(0.0, recording.duration)])
    for fate in (*DECISIONS, DUPLICATE, *EXCLUDING):
        claim = Timeline(claims[fate])
        seconds[fate] = (left & claim).duration
        left = left - claim
    seconds["too_short"] = left.duration
    return seconds


def corpus_account(
    recordings: Iterable[Recording],
    events: Iterable[Event],
    cuts: Iterable[Cut],
    drops: Iterable[Drop],
    duplicates: Iterable[Duplicate] = (),
) -> CorpusAccount:
    """The account of a corpus from its tables.

    A recording without cuts that was not dropped by the decision was never decided on (no sound, a crash, a
    copy of another), nor was one that is "unscored": all its time is "unheard".
    """
    events_of: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        events_of[event.recording_id].append(event)
    copies_of: dict[str, list[Duplicate]] = defaultdict(list)
    for row in duplicates:
        copies_of[row.recording_id].append(row)
    cuts_of: dict[str, list[Cut]] = defaultdict(list)
    cut_totals = dict.fromkeys(DECISIONS, CutTotal(0, 0.0))
    lengths: dict[tuple[ItemKind, str], float] = {}
    for cut in cuts:
        cuts_of[cut.recording_id].append(cut)
        length, total = cut.segment.duration, cut_totals[cut.decision]
        cut_totals[cut.decision] = CutTotal(total.cuts + 1, total.seconds + length)
        lengths["cut", cut.cut_id] = length
    dropped = list(drops)
    decided = {drop.item for drop in dropped if drop.stage == DECIDE and drop.reason != "unscored"}

    by_recording: dict[str, Mapping[str, float]] = {}
    for recording in recordings:
        name = recording.recording_id
        if name in cuts_of or name in decided:
            by_recording[name] = account(recording, events_of[name], cuts_of[name], copies_of[name])
        else:
            by_recording[name] = {**dict.fromkeys(OUTCOMES, 0.0), "unheard": recording.duration or 0.0}
        if recording.duration:
            lengths["recording", name] = recording.duration
    return CorpusAccount(
        recordings=len(by_recording),
        by_recording=by_recording,
        seconds={fate: sum(fates[fate] for fates in by_recording.values()) for fate in OUTCOMES},
        cuts=cut_totals,
        drops=_drop_totals(dropped, lengths),
    )


def _drop_totals(drops: Iterable[Drop], lengths: Mapping[tuple[ItemKind, str], float]) -> tuple[DropTotal, ...]:
    """Drops counted by kind and reason; an item that two stages dropped for one reason counts once."""
    items: dict[tuple[ItemKind, str], set[str]] = defaultdict(set)
    for drop in drops:
        items[drop.item_kind, drop.reason].add(drop.item)
    totals = []
    for (kind, reason), names in items.items():
        known = [lengths[kind, name] for name in names if (kind, name) in lengths]
        totals.append(DropTotal(kind, reason, len(names), sum(known) if known else None))
    return tuple(sorted(totals, key=lambda t: (-(t.seconds or 0.0), -t.items, t.item_kind, t.reason)))
