"""The decision over one recording: its scores and a recipe in, events, cuts and drops out.

A pure function of its arguments, run for a first curation and for every replay alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from manifests.identity import cut_id
from manifests.recipe import Recipe
from manifests.records import Cut, CutDecision, Drop, Event, Measured, Recording
from manifests.scores import FrameScores
from manifests.time import Segment, Timeline, from_ms, to_ms, to_ticks

from .exclusions import UNSURE, Assessment, assess
from .fusion import HOP, Fused, fuse
from .human_evidence import EDGE_SECONDS, NO_EVIDENCE, HumanEvidence
from .measures import measure
from .quality import judge_quality
from .spans import partition, pure_spans, split_at_quiet

STAGE = "decide"
RISK_SECONDS = 1.0  # risk is exclusions over a second: a single frame is no contamination


@dataclass(frozen=True)
class Decided:
    """What became of one recording, and the signal quality of all of it."""

    events: tuple[Event, ...]
    cuts: tuple[Cut, ...]
    drops: tuple[Drop, ...]
    measures: Measured


def decide(
    recording: Recording,
    scores: Mapping[str, FrameScores],
    recipe: Recipe,
    copied: Timeline = Timeline.EMPTY,
    people: HumanEvidence = NO_EVIDENCE,
) -> Decided:
    """Events, cuts and drops of a recording under a recipe.

    `scores` by detector name; what a detector has not heard yet is taken for the worst it could be, unless it makes
    no difference. `copied` is the time that another, kept recording holds; `people` outrank the detectors where they
    heard. Raises KeyError without scores of `level`, ValueError for a recording without a duration.
    """
    if not recording.duration:
        raise ValueError(f"recording {recording.recording_id} has no duration to decide over")
    fused = fuse(scores, recipe, recording.duration)
    cuts, verdict = cuts_of(recording, fused, scores, recipe, copied, people)
    return Decided(
        tuple(_events(recording.recording_id, verdict.exclusions.found, fused, people)),
        tuple(cuts),
        tuple(_drops(recording, cuts, verdict, copied, people, recipe)),
        measure(scores, Segment(0.0, recording.duration)),
    )


def cuts_of(
    recording: Recording,
    fused: Fused,
    scores: Mapping[str, FrameScores],
    recipe: Recipe,
    copied: Timeline = Timeline.EMPTY,
    people: HumanEvidence = NO_EVIDENCE,
) -> tuple[list[Cut], Assessment]:
    """The cuts of a recording whose scores are fused already, and the judgement they come from.

    Of `scores` only those of `level`, `signal` and `picture` are looked at.
    """
    assert recording.duration, f"recording {recording.recording_id} has no duration to decide over"
    whole = Segment(0.0, recording.duration)
    verdict = assess(fused, scores["level"], recipe, recording.duration, copied.crop(whole), people)
    exclusions = verdict.exclusions
    loudness = scores["level"].on_grid("rms_dbfs", HOP, fused.count)
    limits = recipe.spans
    cuts: list[Cut] = []
    for span in _pure(whole, exclusions.excluded, people, limits.min_duration):
        for piece in partition(span, exclusions.uncertain_time, limits.min_duration, limits.discard_weight):
            if piece.kind == "discard":
                continue
            parts = split_at_quiet(
                piece.segment,
                loudness,
                HOP,
                min_duration=limits.min_duration,
                max_duration=limits.max_duration,
            )
            cuts += [_cut(recording, part, fused, exclusions.uncertain, scores, recipe, people) for part in parts]
    for segment, reasons in people.rejected:
        for part in Timeline([segment]).crop(whole) - copied:
            if _whole_ms(part, recording):
                cuts.append(_rejected_cut(recording, part, reasons, fused, scores, recipe, people))
    return cuts, verdict


def _pure(whole: Segment, excluded: Timeline, people: HumanEvidence, min_duration: float) -> list[Segment]:
    """The pure spans in order; what a reviewer's trim left is one by itself, so that its cuts end where they said."""
    spans = list(pure_spans(whole, excluded | people.apart, min_duration))
    for trim in people.trims:
        for left in trim.left.crop(whole):
            spans += pure_spans(left, excluded, min_duration)
    return sorted(spans)


def _cells(segment: Segment, hop: float) -> slice:
    return slice(to_ticks(segment.start, 1 / hop), to_ticks(segment.end, 1 / hop))


def _events(recording_id: str, found: Mapping[str, Timeline], fused: Fused, people: HumanEvidence) -> list[Event]:
    """Event rows; a contaminant's score is its mean probability over the event, of the others there is none."""
    rows = []
    for label, timeline in found.items():
        lane = fused.lower.get(label)
        for segment in timeline:
            score = None if lane is None else round(float(np.nanmean(lane[_cells(segment, HOP)])), 4)
            source = "level" if lane is None else "fusion"
            rows.append(
                Event(
                    recording_id=recording_id,
                    start=segment.start,
                    end=segment.end,
                    label=label,
                    source=source,
                    score=score,
                )
            )
    rows += [
        Event(recording_id=recording_id, start=segment.start, end=segment.end, label=label, source="verdict")
        for label, timeline in people.excised.items()
        for segment in timeline
    ]
    return sorted(rows, key=lambda row: (row.start, row.end, row.label, row.source))


def _cut(
    recording: Recording,
    segment: Segment,
    fused: Fused,
    uncertain: Mapping[str, Timeline],
    scores: Mapping[str, FrameScores],
    recipe: Recipe,
    people: HumanEvidence,
) -> Cut:
    """The cut over a piece: rejected for what it lacks, reviewed for what is uncertain, accepted else.

    What a person kept is doubted for its quality no more.
    """
    whole = _on_ms(segment, recording)
    measures = measure(scores, whole)
    faulty = judge_quality(measures, recording, recipe.quality)
    rejected = (["no_video"] if recipe.decision.require_video and not recording.has_video else []) + faulty.rejected
    doubts = [
        "listener_unsure" if name == UNSURE else f"possible_{name}"
        for name, timeline in uncertain.items()
        if timeline.crop(whole)
    ]
    if not people.cleared.pad(EDGE_SECONDS).covers(whole):
        doubts += faulty.doubted
    decision: CutDecision = "reject" if rejected else "review" if doubts else "accept"
    return _cut_row(recording, whole, decision, (*rejected, *doubts), fused, recipe, measures, people)


def _rejected_cut(
    recording: Recording,
    span: Segment,
    given: tuple[str, ...],
    fused: Fused,
    scores: Mapping[str, FrameScores],
    recipe: Recipe,
    people: HumanEvidence,
) -> Cut:
    """The rejected cut over a span that people turned down, for the reasons given."""
    whole = _on_ms(span, recording)
    reasons = tuple(f"listener_{reason}" for reason in dict.fromkeys(given)) or ("listener_reject",)
    return _cut_row(recording, whole, "reject", reasons, fused, recipe, measure(scores, whole), people)


def _whole_ms(segment: Segment, recording: Recording) -> tuple[int, int] | None:
    """The span on whole milliseconds, inside the recording; None where none is left of it."""
    start, end = to_ms(segment.start), min(to_ms(segment.end), int((recording.duration or 0.0) * 1000))
    return (start, end) if start < end else None


def _on_ms(segment: Segment, recording: Recording) -> Segment:
    """The span on whole milliseconds, of which there is at least one."""
    found = _whole_ms(segment, recording)
    assert found, f"{recording.recording_id}: a cut over {segment} has no whole millisecond"
    return Segment(from_ms(found[0]), from_ms(found[1]))


def _cut_row(
    recording: Recording,
    whole: Segment,
    decision: CutDecision,
    reasons: tuple[str, ...],
    fused: Fused,
    recipe: Recipe,
    measures: Measured,
    people: HumanEvidence,
) -> Cut:
    trim = people.trim_of(whole)
    parent = None if trim is None else cut_id(recording.recording_id, to_ms(trim.span.start), to_ms(trim.span.end))
    return Cut(
        cut_id=cut_id(recording.recording_id, to_ms(whole.start), to_ms(whole.end)),
        parent_cut_id=parent,
        recording_id=recording.recording_id,
        start=whole.start,
        end=whole.end,
        decision=decision,
        reasons=reasons,
        risk=risk(fused, whole),
        recipe_hash=recipe.hash,
        **asdict(measures),
    )


def risk(fused: Fused, segment: Segment) -> float:
    """The largest mean over RISK_SECONDS of the worst contaminant's probability inside the segment, 0 to 1."""
    worst = fused.worst[_cells(segment, HOP)]
    width = min(len(worst), round(RISK_SECONDS / HOP))
    if not width:
        return 0.0
    means = np.convolve(np.nan_to_num(worst, nan=1.0), np.ones(width) / width, mode="valid")
    return round(float(means.max()), 4)


def _drops(
    recording: Recording, cuts: list[Cut], verdict: Assessment, copied: Timeline, people: HumanEvidence, recipe: Recipe
) -> list[Drop]:
    """A row for each rejected cut, and one for a recording of which nothing is left."""
    rejected = [cut for cut in cuts if cut.decision == "reject"]
    drops = [
        Drop(item=cut.cut_id, item_kind="cut", stage=STAGE, reason=cut.reasons[0], recipe_hash=recipe.hash)
        for cut in rejected
    ]
    if len(rejected) < len(cuts):
        return drops
    duration = recording.duration or 0.0
    minimum = recipe.spans.min_duration
    if rejected:
        reason, detail = rejected[0].reasons[0], f"all {len(rejected)} cuts rejected"
    elif duration < minimum:
        reason, detail = "too_short", f"lasts {duration:.1f} s, cuts need {minimum:g} s"
    else:
        found = {
            **verdict.exclusions.found,
            "duplicate": copied,
            "trimmed": people.trimmed,
            "unscored": verdict.unsettled,
        }
        shares = {label: timeline.duration / duration for label, timeline in found.items() if timeline}
        reason = max(shares, key=lambda label: shares[label], default="unscored")
        pure = verdict.exclusions.excluded.gaps(Segment(0.0, duration))
        longest = max((span.duration for span in pure), default=0.0)
        listed = ", ".join(f"{label} {100 * share:.0f} %" for label, share in shares.items())
        detail = f"longest pure span {longest:.1f} s, cuts need {minimum:g} s ({listed or 'nothing scored'})"
    return [
        *drops,
        Drop(
            item=recording.recording_id,
            item_kind="recording",
            stage=STAGE,
            reason=reason,
            detail=detail,
            recipe_hash=recipe.hash,
        ),
    ]
