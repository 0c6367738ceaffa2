"""The records: one frozen class a table, and the only place where a table's columns are listed.

`schema` derives the Arrow schemas from these annotations: `X | None` is a nullable column, a width other than
Python's own is written `Annotated`, a tuple of dataclasses is a list of structs. Fields are keyword-only, so that no
two columns are ever swapped unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

import pyarrow as pa

from .time import Segment, from_ms

Int8 = Annotated[int, pa.int8()]
Int16 = Annotated[int, pa.int16()]
Int32 = Annotated[int, pa.int32()]
UInt64 = Annotated[int, pa.uint64()]
Float16 = Annotated[float, pa.float16()]
Float32 = Annotated[float, pa.float32()]

Status = Literal["ok", "damaged", "truncated", "unreadable", "no_audio", "empty", "quarantined"]
CutDecision = Literal["accept", "review", "reject"]
ItemKind = Literal["source", "recording", "cut"]
StageOutcome = Literal["done", "dropped", "failed"]
PrintKind = Literal["audio", "picture"]
Purpose = Literal["label", "agreement", "audit", "gold", "adjudicate"]
Judgement = Literal["keep", "reject", "unsure"]  # what listeners say
Ruling = Literal["keep", "reject", "unsure", "open"]  # what a verdict says
Origin = Literal["manual", "prediction", "prediction-changed"]
AnnotationState = Literal["submitted", "skipped", "deleted"]
Question = Literal["semantic_relevance", "quality"]
REFERENCE = "reference"  # what a rating calls the real sound
VerdictMethod = Literal["single", "majority", "weighted", "dawid_skene", "adjudicator", "expert", "reviewer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The signal quality of a recording or a cut; None where unmeasured. The recipe's `quality` sets the ranges.

    `loudness_lufs`: integrated loudness (BS.1770-4), -70 when all of it is gated. `clipped`: share of samples.
    `bandwidth_hz`: the end of the spectrum. `dc`: offset, full scale is 1. `dead_channels`, `copied_channels`: channels
    without audio, and copies of another channel. `mono_loss_db`: the level that the mean of the channels loses.
    `dropouts`, `scene_cuts`: per minute. `still_share`: share of the time in which the video does not move.
    """

    loudness_lufs: Float32 | None = None
    clipped: Float32 | None = None
    bandwidth_hz: Float32 | None = None
    dc: Float32 | None = None
    dead_channels: Int16 | None = None
    copied_channels: Int16 | None = None
    mono_loss_db: Float32 | None = None
    dropouts: Float32 | None = None
    still_share: Float32 | None = None
    scene_cuts: Float32 | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The origin of a recording. `recording_id` is None if no recording was made of it."""

    source_id: str
    uri: str
    recording_id: str | None = None
    origin: str
    channel: str | None = None
    title: str | None = None
    licence: str | None = None
    fetched_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioTrack:
    """An audio track of a file; `chosen`: it is read as the recording's audio, alone or as one of its channels.

    `index`: of the stream in the file. `role`: its purpose, as the file states it ("comment", "visual_impaired", "dub",
    ...), "" for ordinary sound. `silent`: no sample reaches -80 dBFS; known of tracks that are not chosen.
    """

    index: Int16
    codec: str
    sample_rate: Int32
    channels: Int16
    language: str
    title: str
    role: str
    chosen: bool
    silent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording(Measured):
    """One sound, however many sources lead to it. Duration in seconds, sample rate in hertz.

    `audio_end`, `video_end`: where the streams end, in seconds from zero; they should agree. `audio_tracks`: all of the
    file. `splices`: where the file's clock starts again, or its audio repeats, in seconds from zero: recordings were
    joined there.
    """

    recording_id: str
    uri: str
    sha256: str | None = None
    bytes: int | None = None
    duration: float | None = None
    audio_end: float | None = None
    video_end: float | None = None
    container: str | None = None
    audio_codec: str | None = None
    video_codec: str | None = None
    width: Int32 | None = None
    height: Int32 | None = None
    fps: float | None = None
    sample_rate: Int32 | None = None
    channels: Int16 | None = None
    has_video: bool
    status: Status
    audio_tracks: tuple[AudioTrack, ...] = ()
    splices: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A labelled span of a recording, in seconds; `source`: its detector or author; `score`: confidence, 0 to 1."""

    recording_id: str
    start: float
    end: float
    label: str
    source: str
    score: Float32 | None = None

    @property
    def segment(self) -> Segment:
        """The span in seconds."""
        return Segment(self.start, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut(Measured):
    """A span meant for the corpus, on whole milliseconds; `cut_id` is made of recording, start and end."""

    cut_id: str
    parent_cut_id: str | None = None
    recording_id: str
    start: float
    end: float
    decision: CutDecision
    reasons: tuple[str, ...] = ()
    risk: Float32
    recipe_hash: str

    @property
    def segment(self) -> Segment:
        """The span in seconds."""
        return Segment(self.start, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """An input that did not make it, and why; `item` is the id of a source, recording or cut."""

    item: str
    item_kind: ItemKind
    stage: str
    reason: str
    detail: str | None = None
    recipe_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A segment of a recording that a kept recording contains too.

    [start, end) seconds of `recording_id` are [start + offset, end + offset) of `kept_id`; `method`: the audio or
    the video is the same.
    """

    recording_id: str
    kept_id: str
    method: PrintKind
    offset: float
    start: float
    end: float

    @property
    def segment(self) -> Segment:
        """The stretch in seconds of `recording_id`."""
        return Segment(self.start, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class MsSpan:
    """A span of a recording for human judgement, on whole milliseconds; tied to no cut, because cuts change."""

    recording_id: str
    start_ms: int
    end_ms: int

    @property
    def segment(self) -> Segment:
        """The span in seconds."""
        return Segment(from_ms(self.start_ms), from_ms(self.end_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSegment:
    """A labelled stretch of a recording, in seconds."""

    start: float
    end: float
    label: str

    @property
    def segment(self) -> Segment:
        """The stretch in seconds."""
        return Segment(self.start, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(MsSpan):
    """A task for annotators: one window of a span, once per purpose and round.

    A span of up to 180 s is one window; a longer one has several, which overlap. `annotators`: the number of
    different people who should judge it. `priority`: within the round, larger first; `why`: the reason for it.
    """

    task_key: str
    purpose: Purpose
    round: Int32
    span_start_ms: int
    span_end_ms: int
    prelabelled: bool
    has_picture: bool
    annotators: Int16
    priority: Float32
    why: str
    prelabels: tuple[LabelledSegment, ...] = ()
    votes: str | None = None
    recipe_hash: str
    planned_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A segment that an annotator labelled, in seconds of the recording.

    `origin`: drawn by hand, or a detector's, unchanged or changed. `presence`: how clearly it is audible.
    """

    region_id: str
    start: float
    end: float
    label: str
    origin: Origin
    presence: str | None = None
    description: str | None = None

    @property
    def segment(self) -> Segment:
        """The stretch in seconds of the recording."""
        return Segment(self.start, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation(MsSpan):
    """One version of one person's answer to a task, as it was pulled; the latest version of an `annotation_id` counts.

    `annotation_id` is the server's own unique id. `edited_by_other`: another person than the annotator wrote it.
    `av_sync` from 1 (unrelated) to 5. `lead_time` in seconds of work. `result` is the server's answer itself, as JSON.
    """

    version_id: str
    annotation_id: str
    task_key: str
    annotator: str
    updated_by: str | None = None
    edited_by_other: bool
    state: AnnotationState
    ground_truth: bool
    verdict: str | None = None
    reasons: tuple[str, ...] = ()
    caption: str | None = None
    av_sync: Int8 | None = None
    regions: tuple[Region, ...] = ()
    lead_time: float | None = None
    created_at: datetime
    updated_at: datetime
    pulled_at: datetime
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(MsSpan):
    """A human decision about a span; it overrides detectors there.

    `excised`: the contaminated segments in it, and as TRIMMED the clean ones that a reviewer cut away. "keep" keeps
    the rest of the span, "reject" nothing, and "unsure" leaves it for review. "open" decides nothing: the row holds a
    comment, or revokes an earlier one. `confidence`: 0 to 1, None where one person decided. Rows are append-only:
    `supersedes` names the row that a later one replaces.
    """

    verdict_id: str
    decision: Ruling
    reasons: tuple[str, ...] = ()
    excised: tuple[LabelledSegment, ...] = ()
    method: VerdictMethod
    confidence: Float32 | None = None
    author: str
    comment: str | None = None
    made_at: datetime
    supersedes: str | None = None


TRIMMED = "trimmed"  # label of stretches that a reviewer cut away: no contaminant, so no guard around them


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating(MsSpan):
    """One listener's score for one system's audio in a blind comparison over a cut.

    `trial_id`: the comparison; its systems were rated side by side. `system`: "reference", or the name of the run that
    generated the audio. `score` from 1 to 5; `preferred`: the listener chose this one as the best.
    """

    rating_id: str
    trial_id: str
    cut_id: str
    system: str
    question: Question
    score: Int8
    preferred: bool
    author: str
    made_at: datetime
    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One stage's work on one item: `key` identifies its content, `result` is JSON."""

    stage: str
    key: str
    item: str
    outcome: StageOutcome
    result: str | None = None
    worker: str | None = None
    attempt: Int16
    started_at: datetime
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoresRow:
    """Some minutes of a detector's frames over a recording; the class only defines columns.

    The rows of one detector over one recording share a file, follow each other without a hole and differ in
    `start`, `frames` and values: a long recording is read and written row by row.
    `start`, `hop`, `window` and `tag_hop` in seconds. `values` is row-major (frames, labels), NaN where
    unscored; `tag_ids` and `tag_scores` are row-major (tag frames, tags_per_frame), best first.
    """

    recording_id: str
    detector: str
    version: str
    key: str
    start: float
    hop: float
    window: float
    labels: tuple[str, ...]
    frames: Int32
    values: tuple[Float16, ...]
    tag_ids: tuple[Int16, ...] | None = None
    tag_scores: tuple[Float16, ...] | None = None
    tags_per_frame: Int8 | None = None
    tag_hop: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintRow:
    """The fingerprint of a stretch of one recording: a word every `hop` seconds from `start` on.

    Only the columns matter, no object is ever made.
    """

    recording_id: str
    kind: PrintKind
    key: str
    version: str
    start: float
    hop: float
    words: tuple[UInt64, ...]


RECORDS: dict[str, type] = {
    "sources": Source,
    "recordings": Recording,
    "scores": ScoresRow,
    "events": Event,
    "cuts": Cut,
    "drops": Drop,
    "duplicates": Duplicate,
    "prints": PrintRow,
    "tasks": Task,
    "annotations": Annotation,
    "verdicts": Verdict,
    "ratings": Rating,
    "ledger": LedgerRow,
}
