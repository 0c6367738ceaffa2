"""Routing: selects the spans for annotation, their purposes, and their order.

A cut for review is more informative the nearer its risk is to the review threshold, and the more the detectors disagree
on it; spans that a reviewer asks about come first. Some of these spans go without pre-labels to several annotators, to
measure their agreement; some accepted cuts are drawn at random, to measure what the detectors miss; some spans with a
gold answer are sent again, to measure the annotators.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow.compute as pc

from curation.decision.fusion import HOP, logit, moving_mean
from curation.decision.human_evidence import ANNOTATOR
from curation.detectors.score_store import load_scores, setup_of
from manifests.identity import digest
from manifests.recipe import Contaminant, Recipe
from manifests.records import Cut, Event, LabelledSegment, MsSpan, Purpose, Recording, Task, Verdict
from manifests.scores import FrameScores
from manifests.store import Corpus
from manifests.time import Segment, Timeline, from_ms, to_ms, to_ticks
from manifests.verdicts import GOLD_METHODS, current, decides, is_question

from .windows import task_key, windows

DISAGREEING_SECONDS = 5.0  # detectors disagree somewhere in any long cut: only the worst seconds count


@dataclass(frozen=True)
class Routing:
    """The number of cuts of a round, and the shares of the purposes besides "label".

    `cuts`: for review or in question, at most. `agreement`: share of these that go without pre-labels to `annotators`
    people. `audit`, `gold`: accepted cuts and spans with gold answers, as shares of the selected cuts for review (at
    least one, if there are any).
    """

    cuts: int = 500
    agreement: float = 0.1
    annotators: int = 3
    audit: float = 0.05
    gold: float = 0.05

    def __post_init__(self) -> None:
        if self.cuts < 0 or self.annotators < 2:
            raise ValueError(f"cuts {self.cuts} must be 0 or more, annotators {self.annotators} at least 2")
        for name in ("agreement", "audit", "gold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)} must be a share, 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Candidate(MsSpan):
    """A span that could be sent, how informative its annotation would be, 0 to 1, and the reason."""

    priority: float
    why: str


def plan_round(
    corpus: Corpus, recipe: Recipe, routing: Routing, round: int, on_progress: Callable[[float], None] | None = None
) -> list[Task]:
    """The tasks of a new round, most informative first; random draws depend only on the spans' own ids.

    Spans settled by a verdict, or sent for labelling in an earlier round, are not sent again, unless a reviewer asked
    about them since.
    """
    recordings: dict[str, Recording] = {row.recording_id: row for row in corpus.rows(Recording)}
    verdicts = current(corpus.rows(Verdict))
    sent = list(corpus.rows(Task))
    cuts = list(corpus.rows(Cut))
    decided = [row for row in verdicts if decides(row)]
    labelled = [task for task in sent if task.purpose in ("label", "agreement")]
    questions = _questions(verdicts, labelled)
    settled = _by_recording([*decided, *labelled, *questions])
    open_cuts = [cut for cut in cuts if cut.decision == "review" and not _covers(settled, cut)]
    ranked = sorted(
        _informative(corpus, recipe, open_cuts, recordings, on_progress), key=lambda one: (-one.priority, _key(one))
    )
    ranked = [*questions, *ranked][: routing.cuts]
    blind = set(_drawn(ranked, routing.agreement, "agreement", round))
    audited = _by_recording([*decided, *(task for task in sent if task.purpose == "audit")])
    accepted = [_span(cut, 0.0, "random") for cut in cuts if cut.decision == "accept" and not _covers(audited, cut)]
    gold = [replace(_candidate(row), why=f"gold: {row.method}") for row in verdicts if row.method in GOLD_METHODS]
    gold_sent = {(task.recording_id, task.span_start_ms, task.span_end_ms) for task in sent if task.purpose == "gold"}
    gold = [one for one in gold if (one.recording_id, one.start_ms, one.end_ms) not in gold_sent]
    audits = _drawn(accepted, _share(routing.audit, len(ranked), len(accepted)), "audit", round)
    golds = _drawn(gold, _share(routing.gold, len(ranked), len(gold)), "gold", round)
    planned_at = datetime.now(UTC)
    events = findings(corpus)
    tasks: list[Task] = []
    groups: list[tuple[Purpose, Iterable[Candidate], int]] = [
        ("gold", golds, routing.annotators),
        ("agreement", [one for one in ranked if one in blind], routing.annotators),
        ("label", [one for one in ranked if one not in blind], 1),
        ("audit", audits, 1),
    ]
    for purpose, spans, annotators in groups:
        for span in spans:
            picture = recordings[span.recording_id].has_video
            made = span_tasks(span, purpose, round, annotators, picture, recipe.hash, planned_at)
            marks = events[span.recording_id] if purpose == "label" else []
            tasks += [replace(task, prelabels=inside(marks, task)) for task in made]
    return tasks


def findings(corpus: Corpus) -> Mapping[str, list[LabelledSegment]]:
    """The detectors' events in each recording."""
    by_recording: dict[str, list[LabelledSegment]] = defaultdict(list)
    for event in corpus.rows(Event, ~pc.starts_with(pc.field("source"), ANNOTATOR)):
        by_recording[event.recording_id].append(LabelledSegment(start=event.start, end=event.end, label=event.label))
    return by_recording


def inside(segments: Iterable[LabelledSegment], window: MsSpan) -> tuple[LabelledSegment, ...]:
    """The parts of the segments inside the window, on whole milliseconds, in order of time."""
    cut = set()
    for one in segments:
        start, end = max(to_ms(one.start), window.start_ms), min(to_ms(one.end), window.end_ms)
        if start < end:
            cut.add((from_ms(start), from_ms(end), one.label))
    return tuple(LabelledSegment(start=start, end=end, label=label) for start, end, label in sorted(cut))


def span_tasks(
    span: Candidate,
    purpose: Purpose,
    round: int,
    annotators: int,
    picture: bool,
    recipe_hash: str,
    planned_at: datetime,
) -> list[Task]:
    """The tasks of one span, one for each of its windows."""
    prelabelled = purpose in ("label", "adjudicate")
    return [
        Task(
            task_key=task_key(span.recording_id, start, end, purpose, round, prelabelled),
            recording_id=span.recording_id,
            start_ms=start,
            end_ms=end,
            span_start_ms=span.start_ms,
            span_end_ms=span.end_ms,
            purpose=purpose,
            round=round,
            prelabelled=prelabelled,
            has_picture=picture,
            annotators=annotators,
            priority=span.priority,
            why=span.why,
            recipe_hash=recipe_hash,
            planned_at=planned_at,
        )
        for start, end in windows(span.start_ms, span.end_ms)
    ]


def disagreement(scores: Mapping[str, FrameScores], recipe: Recipe, segment: Segment) -> tuple[float, str]:
    """The disagreement of the detectors in `segment`, 0 (none) to 1, and its contaminant.

    Each track of evidence is converted to a probability that is 1/2 at its bias; integrated evidence counts if it is
    against a bias. The result is the mean, over the DISAGREEING_SECONDS worst seconds, of the distance between the
    largest and the smallest.
    """
    first, end = to_ticks(segment.start, 1 / HOP), to_ticks(segment.end, 1 / HOP)
    worst = (0.0, "")
    for name, contaminant in recipe.contaminants.items():
        tracks = []
        for track, (bias, window) in _biases(contaminant).items():
            detector, _, label = track.partition(".")
            if detector in scores:
                odds = moving_mean(logit(scores[detector].on_grid(label, HOP, end)), round(window / HOP))[first:]
                tracks.append(1 / (1 + np.exp(logit(bias) - odds)))
        if len(tracks) > 1:
            spread = np.nan_to_num(np.max(tracks, axis=0) - np.min(tracks, axis=0))
            count = min(len(spread), round(DISAGREEING_SECONDS / HOP))
            if count:
                worst = max(worst, (float(np.mean(np.partition(spread, -count)[-count:])), name))
    return worst


def _biases(contaminant: Contaminant) -> dict[str, tuple[float, float]]:
    """(bias, window in seconds) of each track: of its evidence, or of the shortest window of its integrated evidence.

    One per track: two windows of one detector are no two detectors.
    """
    windows = sorted((one for one in contaminant.integrated if not one.relative), key=lambda one: -one.window)
    return {one.track: (one.bias, one.window) for one in windows} | {
        track: (one.bias, 0.0) for track, one in contaminant.evidence.items()
    }


def nearness(risk: float, recipe: Recipe) -> float:
    """Nearness of a risk to the nearest review threshold: 1 on it, 1/e at a log-odds distance of 1."""
    near = (abs(float(logit(risk)) - float(logit(one.review_threshold))) for one in recipe.contaminants.values())
    return math.exp(-min(near, default=math.inf))


def _questions(verdicts: Iterable[Verdict], labelled: Iterable[Task]) -> list[Candidate]:
    """The spans that reviewers ask about, the oldest question first, without those sent since."""
    sent: dict[str, list[Task]] = defaultdict(list)
    for task in labelled:
        sent[task.recording_id].append(task)
    questions = []
    for row in verdicts:
        since = _by_recording(task for task in sent[row.recording_id] if task.planned_at >= row.made_at)
        if is_question(row) and not since.get(row.recording_id, Timeline()).covers(row.segment):
            why = "a reviewer asks" + (f": {row.comment}" if row.comment else "")
            questions.append(replace(_candidate(row), priority=1.0, why=why))
    return questions


def _informative(
    corpus: Corpus,
    recipe: Recipe,
    cuts: Iterable[Cut],
    recordings: Mapping[str, Recording],
    on_progress: Callable[[float], None] | None,
) -> Iterable[Candidate]:
    setup = setup_of(corpus, recipe)
    of = defaultdict(list)
    for cut in cuts:
        of[cut.recording_id].append(cut)
    for index, (recording_id, of_recording) in enumerate(sorted(of.items())):
        scores = load_scores(corpus, recording_id, recipe.all_detectors, setup)
        for cut in of_recording:
            differ, name = disagreement(scores, recipe, cut.segment)
            near = nearness(cut.risk, recipe)
            why = f"{', '.join(cut.reasons)}; risk {cut.risk:.2f}" + (f"; detectors disagree on {name}" if name else "")
            yield _span(cut, (near + differ) / 2, why)
        if on_progress:
            on_progress((index + 1) / len(of))


def _span(cut: Cut, priority: float, why: str) -> Candidate:
    start, end = to_ms(cut.start), to_ms(cut.end)
    return Candidate(recording_id=cut.recording_id, start_ms=start, end_ms=end, priority=round(priority, 4), why=why)


def _candidate(row: Verdict) -> Candidate:
    return Candidate(
        recording_id=row.recording_id, start_ms=row.start_ms, end_ms=row.end_ms, priority=0.0, why=row.decision
    )


def _key(span: MsSpan) -> str:
    return digest(span.recording_id, span.start_ms, span.end_ms)


def _share(share: float, of: int, available: int) -> float:
    """`share` of a number, at least one if the share is not 0, as a share of the available number."""
    if not share or not available:
        return 0.0
    return min(1.0, max(1, round(share * of)) / available)


def _drawn(spans: list[Candidate], share: float, purpose: str, round: int) -> list[Candidate]:
    """That share of the spans, drawn by their ids: pseudorandom, and the same in every run."""
    count = math.ceil(share * len(spans) - 1e-9)
    lots = sorted(spans, key=lambda one: digest("draw", purpose, round, _key(one)))[:count]
    return sorted(lots, key=lambda one: (-one.priority, _key(one)))


def _by_recording(rows: Iterable[MsSpan]) -> dict[str, Timeline]:
    segments: dict[str, list[Segment]] = defaultdict(list)
    for row in rows:
        segments[row.recording_id].append(row.segment)
    return {recording_id: Timeline(of_recording) for recording_id, of_recording in segments.items()}


def _covers(timelines: Mapping[str, Timeline], cut: Cut) -> bool:
    return cut.recording_id in timelines and timelines[cut.recording_id].covers(cut.segment.to_ms())
