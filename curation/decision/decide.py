"""Decides over one recording: computes events, cuts and drops from its scores and a recipe.

A pure function of its arguments, used by first curation and replay alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from manifests.identity import cut_id
from manifests.recipe import Recipe
from manifests.records import Cut, CutDecision, Drop, Event, Measured, Recording
from manifests.scores import FrameScores
from manifests.time import Segment, Timeline, from_ms, shown_below, to_ms, to_ticks

from .audio_doubts import CANCELS_IN_MONO, SPLICED, audio_doubts, other_tracks, splices, unarmed_channels
from .exclusions import UNSURE, Assessment, assess
from .fusion import HOP, Fused, fuse
from .human_evidence import EDGE_SECONDS, NO_EVIDENCE, HumanEvidence
from .measures import AudioMeasures, with_video
from .quality import QualityReasons, judge_quality
from .spans import is_too_short, partition, pure_spans, split_at_quiet

STAGE = "decide"
_DOUBTS = {UNSURE: "listener_unsure", CANCELS_IN_MONO: CANCELS_IN_MONO, SPLICED: SPLICED}
RISK_SECONDS = 1.0  # risk is averaged over a second: a single frame is not a contamination


@dataclass(frozen=True)
class Decided:
    """The decision over one recording: its rows, and the signal quality of all of it."""

    events: tuple[Event, ...]
    cuts: tuple[Cut, ...]
    drops: tuple[Drop, ...]
    measures: Measured


@dataclass(frozen=True)
class DraftCut:
    """A cut as decided by the audio: its span on whole milliseconds and its measures.

    `reasons`: given by the people who rejected it as a whole, None otherwise.
    """

    segment: Segment
    measures: Measured = field(repr=False)
    reasons: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Draft:
    """A recording decided on its audio alone; `finish` adds the measures of its video."""

    recording: Recording
    recipe: Recipe
    people: HumanEvidence
    copied: Timeline
    fused: Fused = field(repr=False)
    assessment: Assessment = field(repr=False)
    cuts: tuple[DraftCut, ...]
    measures: Measured
    unarmed: int = 0  # channels that are silent from beginning to end, which the recipe accepts

    @property
    def surviving(self) -> Timeline:
        """The time of the cuts that their audio does not reject; the video is analyzed in it."""
        return Timeline(cut.segment for cut in self.cuts if cut.reasons is None and not self._rejected(cut))

    def _rejected(self, cut: DraftCut) -> bool:
        return bool(self.quality(cut).rejected)

    def quality(self, cut: DraftCut) -> QualityReasons:
        """The reasons against a cut from its measures and its recording."""
        recording, recipe, measures = self.recording, self.recipe, cut.measures
        if measures.dead_channels:
            measures = replace(measures, dead_channels=max(0, measures.dead_channels - self.unarmed))
        faults = judge_quality(measures, recording, recipe.quality)
        no_video = ["no_video"] if recipe.decision.require_video and not recording.has_video else []
        return replace(faults, rejected=[*no_video, *faults.rejected])


def decide(
    recording: Recording,
    scores: Mapping[str, FrameScores],
    recipe: Recipe,
    copied: Timeline = Timeline.EMPTY,
    people: HumanEvidence = NO_EVIDENCE,
) -> Decided:
    """Events, cuts and drops of a recording under a recipe.

    `scores` by detector name; unscored time counts as the worst possible score, unless it makes no difference. `copied`
    is the time that another, kept recording contains; `people` outrank the detectors where they judged. Raises KeyError
    without scores of `level`, ValueError for a recording without a duration.
    """
    if not recording.duration:
        raise ValueError(f"recording {recording.recording_id} has no duration: curate its source again")
    fused = fuse(scores, recipe, recording.duration)
    return finish(draft(recording, fused, scores, recipe, copied, people), scores.get("picture"))


def draft(
    recording: Recording,
    fused: Fused,
    scores: Mapping[str, FrameScores],
    recipe: Recipe,
    copied: Timeline = Timeline.EMPTY,
    people: HumanEvidence = NO_EVIDENCE,
) -> Draft:
    """The cuts of a recording as decided by its audio; `scores` are those of `level` and `signal`."""
    assert recording.duration, f"recording {recording.recording_id} has no duration to decide over"
    whole = Segment(0.0, recording.duration)
    assessment = assess(fused, scores["level"], recipe, recording.duration, copied.crop(whole), people)
    doubts = audio_doubts(recording, scores.get("signal"), recipe)
    inaudible = {reason: time.crop(whole) - people.settled for reason, time in doubts.items()}
    exclusions = replace(assessment.exclusions, uncertain={**assessment.exclusions.uncertain, **inaudible})
    assessment = replace(assessment, exclusions=exclusions)
    loudness = scores["level"].on_grid("rms_dbfs", HOP, fused.count)
    limits, measures = recipe.spans, AudioMeasures(scores["level"], scores.get("signal"))
    cuts: list[DraftCut] = []
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
            for part in parts:
                segment = _on_ms(part, recording)
                cuts.append(DraftCut(segment, measures.over(segment)))
    for rejected, reasons in people.rejected:
        for part in Timeline([rejected]).crop(whole) - copied:
            if _whole_ms(part, recording):
                segment = _on_ms(part, recording)
                cuts.append(DraftCut(segment, measures.over(segment), reasons))
    unarmed = unarmed_channels(scores.get("signal"), recipe)
    return Draft(recording, recipe, people, copied, fused, assessment, tuple(cuts), measures.over(whole), unarmed)


def finish(drafted: Draft, picture: FrameScores | None) -> Decided:
    """The decision: the draft with the measures of the video, from the scores of `picture`."""
    recording = drafted.recording
    cuts = finished_cuts(drafted, picture)
    return Decided(
        tuple(_events(drafted)),
        cuts,
        tuple(_drops(drafted, cuts)),
        with_video(drafted.measures, picture, Segment(0.0, recording.duration or 0.0)),
    )


def finished_cuts(drafted: Draft, picture: FrameScores | None) -> tuple[Cut, ...]:
    """The cuts of a draft, with the measures of the video."""
    return tuple(
        _finished(drafted, replace(cut, measures=with_video(cut.measures, picture, cut.segment)))
        for cut in drafted.cuts
    )


def _pure(whole: Segment, excluded: Timeline, people: HumanEvidence, min_duration: float) -> list[Segment]:
    """The pure spans in order.

    A part that a reviewer's trim kept is a separate span, so that its cuts end where the reviewer set it.
    """
    spans = list(pure_spans(whole, excluded | people.apart, min_duration))
    for trim in people.trims:
        for left in trim.left.crop(whole):
            spans += pure_spans(left, excluded, min_duration)
    return sorted(spans)


def _cells(segment: Segment, hop: float) -> slice:
    return slice(to_ticks(segment.start, 1 / hop), to_ticks(segment.end, 1 / hop))


def _events(drafted: Draft) -> list[Event]:
    """Event rows; a contaminant's score is its mean probability over the event, other events have none.

    They end with the recording: the last cell of the grid may not.
    """
    recording = drafted.recording
    whole = Segment(0.0, recording.duration or 0.0)
    rows: list[tuple[Segment, str, str, float | None]] = []
    for label, timeline in drafted.assessment.exclusions.found.items():
        track = drafted.fused.lower.get(label)
        for segment in timeline:
            score = None if track is None else round(float(np.nanmean(track[_cells(segment, HOP)])), 4)
            rows.append((segment, label, "level" if track is None else "fusion", score))
    excised = drafted.people.excised.items()
    rows += [(segment, label, "verdict", None) for label, timeline in excised for segment in timeline]
    rows += [(segment, "artifact", "clock", None) for segment in splices(recording, drafted.recipe)]
    events = [
        Event(
            recording_id=recording.recording_id,
            start=inside.start,
            end=inside.end,
            label=label,
            source=source,
            score=score,
        )
        for segment, label, source, score in rows
        if (inside := segment & whole) is not None
    ]
    return sorted(events, key=lambda row: (row.start, row.end, row.label, row.source))


def _finished(drafted: Draft, cut: DraftCut) -> Cut:
    """The row of a cut: rejected if its quality fails, reviewed if it is uncertain, accepted otherwise.

    The quality of a cut that a person kept needs no review.
    """
    people, whole = drafted.people, cut.segment
    if cut.reasons is not None:
        reasons = tuple(f"listener_{reason}" for reason in dict.fromkeys(cut.reasons)) or ("listener_reject",)
        return _cut_row(drafted, cut, "reject", reasons)
    quality = drafted.quality(cut)
    doubts = [
        _DOUBTS.get(name, f"possible_{name}")
        for name, timeline in drafted.assessment.exclusions.uncertain.items()
        if timeline.crop(whole)
    ]
    if not people.cleared.pad(EDGE_SECONDS).covers(whole):
        doubts += [*other_tracks(drafted.recording, drafted.recipe), *quality.doubted]
    decision: CutDecision = "reject" if quality.rejected else "review" if doubts else "accept"
    return _cut_row(drafted, cut, decision, tuple(dict.fromkeys([*quality.rejected, *doubts])))


def _whole_ms(segment: Segment, recording: Recording) -> tuple[int, int] | None:
    """The span on whole milliseconds, inside the recording; None if it has none."""
    start, end = to_ms(segment.start), min(to_ms(segment.end), int((recording.duration or 0.0) * 1000))
    return (start, end) if start < end else None


def _on_ms(segment: Segment, recording: Recording) -> Segment:
    """The span on whole milliseconds; it has at least one."""
    ends = _whole_ms(segment, recording)
    assert ends, f"{recording.recording_id}: a cut over {segment} has no whole millisecond"
    return Segment(from_ms(ends[0]), from_ms(ends[1]))


def _cut_row(drafted: Draft, cut: DraftCut, decision: CutDecision, reasons: tuple[str, ...]) -> Cut:
    recording_id, whole = drafted.recording.recording_id, cut.segment
    trim = drafted.people.trim_of(whole)
    parent = None if trim is None else cut_id(recording_id, to_ms(trim.span.start), to_ms(trim.span.end))
    return Cut(
        cut_id=cut_id(recording_id, to_ms(whole.start), to_ms(whole.end)),
        parent_cut_id=parent,
        recording_id=recording_id,
        start=whole.start,
        end=whole.end,
        decision=decision,
        reasons=reasons,
        risk=risk(drafted.fused, whole),
        recipe_hash=drafted.recipe.hash,
        **asdict(cut.measures),
    )


def risk(fused: Fused, segment: Segment) -> float:
    """The largest mean over RISK_SECONDS of the worst contaminant's probability inside the segment, 0 to 1."""
    worst = fused.worst[_cells(segment, HOP)]
    width = min(len(worst), round(RISK_SECONDS / HOP))
    if not width:
        return 0.0
    means = np.convolve(np.nan_to_num(worst, nan=1.0), np.ones(width) / width, mode="valid")
    return round(float(means.max()), 4)


def too_short_drop(recording: Recording, recipe: Recipe) -> Drop:
    """The row of a recording that is shorter than any cut."""
    minimum = recipe.spans.min_duration
    return Drop(
        item=recording.recording_id,
        item_kind="recording",
        stage=STAGE,
        reason="too_short",
        detail=f"lasts {shown_below(recording.duration or 0.0, minimum)} s, cuts need {minimum:g} s",
        recipe_hash=recipe.hash,
    )


def _drops(drafted: Draft, cuts: tuple[Cut, ...]) -> list[Drop]:
    """A row for each rejected cut, and one for a recording without any cut left."""
    recording, recipe, assessment = drafted.recording, drafted.recipe, drafted.assessment
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
    elif is_too_short(duration, minimum):
        return [too_short_drop(recording, recipe)]
    else:
        timelines = {
            **assessment.exclusions.found,
            "duplicate": drafted.copied,
            "trimmed": drafted.people.trimmed,
            "unscored": assessment.unsettled,
        }
        shares = {label: timeline.duration / duration for label, timeline in timelines.items() if timeline}
        reason = max(shares, key=lambda label: shares[label], default="unscored")
        pure = assessment.exclusions.excluded.gaps(Segment(0.0, duration))
        longest = max((span.duration for span in pure), default=0.0)
        listed = ", ".join(f"{label} {100 * share:.0f} %" for label, share in shares.items())
        shown = shown_below(longest, minimum)
        detail = f"longest pure span {shown} s, cuts need {minimum:g} s ({listed or 'nothing scored'})"
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
