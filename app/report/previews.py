"""Previews: as much of the audio as fits into the page, and a still per recording."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from curation.media import PREVIEW_TYPE, MediaError, encode_preview, thumbnail
from curation.runner import default_workers
from manifests.time import Segment, Timeline

from ..display.text import plain

_WHOLE_BITRATES = (32_000, 24_000)
_EXCERPT_SECONDS = (60.0, 30.0, 15.0)
_EXCERPT_BITRATE = 24_000
_IN_PAGE = 4 / 3  # base64
_OVERSHOOT = 1.2  # tones take Opus above its bitrate; the container's share is in it
_CLIP_BYTES = 1_000  # header of a preview and its markup


@dataclass(frozen=True)
class Sound:
    """A recording with media. `focuses`: its cuts, with the riskiest instant of each."""

    recording_id: str
    path: Path
    duration: float
    focuses: Sequence[tuple[Segment, float]]

    def clips(self, excerpt_seconds: float | None) -> Timeline:
        """All of it (None), or `excerpt_seconds` around each focus, never outside its cut."""
        if excerpt_seconds is None:
            return Timeline([Segment(0.0, self.duration)])
        return Timeline(_around(segment, peak, excerpt_seconds) for segment, peak in self.focuses)


@dataclass(frozen=True)
class PreviewPlan:
    """The clips of each recording that fit into a budget, and their bit rate."""

    clips: Mapping[str, Timeline]
    excerpt_seconds: float | None
    bitrate: int

    @property
    def seconds(self) -> float:
        """Length of all clips."""
        return sum(timeline.duration for timeline in self.clips.values())


@dataclass(frozen=True)
class Clip:
    """The audio in [start, end) seconds of a recording as a data: URI."""

    start: float
    end: float
    uri: str = field(repr=False)


@dataclass(frozen=True)
class Previews:
    """Clips by recording. `problems`: the reasons of failures; `left_out`: number of recordings that did not fit."""

    plan: PreviewPlan
    clips: Mapping[str, Sequence[Clip]]
    problems: Mapping[str, str]
    left_out: int


def make_plan(sounds: Sequence[Sound], budget_bytes: float) -> PreviewPlan:
    """The first plan that fits: all audio, a lower bit rate, shorter and shorter excerpts, excerpts of the first few.

    `sounds` are in order of priority.
    """
    for excerpt, bitrate in _rungs():
        clips = {sound.recording_id: sound.clips(excerpt) for sound in sounds}
        if sum(_estimate(timeline, bitrate) for timeline in clips.values()) <= budget_bytes:
            return PreviewPlan(clips, excerpt, bitrate)
    left, fitting = budget_bytes, {}
    for name, timeline in clips.items():
        left -= _estimate(timeline, bitrate)
        if left < 0:
            break
        fitting[name] = timeline
    return PreviewPlan(fitting, excerpt, bitrate)


def encode_previews(
    sounds: Sequence[Sound], budget_bytes: float, on_seconds: Callable[[float, float], None] | None = None
) -> Previews:
    """Encode the plan of `make_plan`; `on_seconds` receives the seconds done and planned."""
    plan = make_plan(sounds, budget_bytes)
    jobs = [(sound, segment) for sound in sounds for segment in plan.clips.get(sound.recording_id, ())]
    clips: dict[str, list[Clip]] = {}
    problems: dict[str, str] = {}
    done, left = 0.0, budget_bytes
    # threads suffice: encoding is all the work, and it runs outside the interpreter's lock
    pool = ThreadPoolExecutor(default_workers())
    try:
        outcomes = pool.map(partial(_encoded, plan.bitrate), jobs)
        for (sound, segment), outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, MediaError):
                problems[sound.recording_id] = f"{plain(outcome.reason)} ({outcome.detail})"
            elif len(outcome) + _CLIP_BYTES <= left:
                left -= len(outcome) + _CLIP_BYTES
                clip = Clip(segment.start, segment.end, outcome)
                clips.setdefault(sound.recording_id, []).append(clip)
            done += segment.duration
            if on_seconds:
                on_seconds(done, plan.seconds)
    finally:
        pool.shutdown(cancel_futures=True)
    left_out = sum(sound.recording_id not in clips.keys() | problems.keys() for sound in sounds)
    return Previews(plan, clips, problems, left_out)


def _encoded(bitrate: int, job: tuple[Sound, Segment]) -> str | MediaError:
    sound, segment = job
    try:
        return data_uri(PREVIEW_TYPE, encode_preview(sound.path, segment, bitrate=bitrate))
    except MediaError as error:
        return error


def picture(path: Path, seconds: float, width: int) -> str | None:
    """The video frame at that time as a data: URI, None without one."""
    try:
        return data_uri("image/jpeg", thumbnail(path, seconds, width))
    except MediaError:
        return None


def data_uri(media_type: str, data: bytes) -> str:
    """The bytes as a data: URI."""
    return f"data:{media_type};base64,{b64encode(data).decode('ascii')}"


def _rungs() -> list[tuple[float | None, int]]:
    whole: list[tuple[float | None, int]] = [(None, bitrate) for bitrate in _WHOLE_BITRATES]
    return whole + [(seconds, _EXCERPT_BITRATE) for seconds in _EXCERPT_SECONDS]


def _estimate(timeline: Timeline, bitrate: int) -> float:
    return timeline.duration * bitrate / 8 * _OVERSHOOT * _IN_PAGE + len(timeline) * _CLIP_BYTES


def _around(segment: Segment, peak: float, seconds: float) -> Segment:
    """At most `seconds` of the segment, with the peak in the middle as far as its ends allow."""
    if segment.duration <= seconds:
        return segment
    start = min(max(peak - seconds / 2, segment.start), segment.end - seconds)
    return Segment(start, start + seconds)
