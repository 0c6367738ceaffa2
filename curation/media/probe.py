"""Describes media files by their headers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av

from manifests import records

from .container import open_media
from .tracks import audio_streams, audio_tracks, codec_name, frame_rate, is_cover, stream_start, video_stream

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

_SHORT_NAMES = {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "matroska,webm": "matroska"}


@dataclass(frozen=True)
class AudioTrack:
    """The sound that is read, from one stream or from mono streams that are its channels; `index`: of the first one.

    `start` is in seconds from zero; rates are in Hz.
    """

    index: int
    codec: str
    sample_rate: int
    channels: int
    layout: str
    start: float


@dataclass(frozen=True)
class VideoTrack:
    """The selected video stream. `start` is in seconds from zero; `fps` is the average, None if unknown.

    `pixel_aspect`: width over height of a displayed pixel, before rotation.
    """

    index: int
    codec: str
    width: int
    height: int
    fps: float | None
    start: float
    pixel_aspect: float = 1.0


@dataclass(frozen=True)
class MediaInfo:
    """A file's header. Times are in seconds from zero, the earliest start of its audio and video streams.

    `duration` is the header's claim, in seconds from zero; None if missing. `zero` is the container time at zero, in
    seconds (an MPEG transport stream may begin at any time). `tracks`: all audio tracks of the file.
    """

    container: str
    duration: float | None
    audio: AudioTrack | None
    video: VideoTrack | None
    zero: float = 0.0
    tracks: tuple[records.AudioTrack, ...] = ()


def probe(path: str | os.PathLike[str]) -> MediaInfo:
    """Read the header of the file at `path`. Raises MediaError if it is not a readable media file."""
    with open_media(path) as container:
        return describe(container)


def describe(container: InputContainer) -> MediaInfo:
    """The MediaInfo of an open container."""
    sound, video = audio_streams(container), video_stream(container)
    both: tuple[Stream, ...] = (*container.streams.audio, *container.streams.video)
    streams = [stream for stream in both if not is_cover(stream)]
    zero = min((start for start in map(stream_start, streams) if start is not None), default=0.0)
    return MediaInfo(
        container=_SHORT_NAMES.get(container.format.name, container.format.name),
        duration=_claimed_duration(container, streams, zero),
        audio=_audio_track(sound, zero) if sound else None,
        video=None if video is None else _video_track(video, zero),
        zero=zero,
        tracks=audio_tracks(container),
    )


def no_audio(container: InputContainer) -> str:
    """The contents of a file without audio, for people."""
    return "video only" if video_stream(container) else "no audio or video"


def no_video(container: InputContainer) -> str:
    """The contents of a file without video, for people."""
    return "audio only" if container.streams.audio else "no audio or video"


def _audio_track(streams: Sequence[AudioStream], zero: float) -> AudioTrack:
    stream = streams[0]
    codec = stream.codec_context
    start = min((start for start in map(stream_start, streams) if start is not None), default=zero)
    alone = codec is not None and len(streams) == 1
    return AudioTrack(
        index=stream.index,
        codec=codec_name(stream),
        sample_rate=codec.sample_rate if codec is not None else 0,
        channels=codec.channels if alone else len(streams) if codec is not None else 0,
        layout=codec.layout.name if alone else "",
        start=start - zero,
    )


def _video_track(stream: VideoStream, zero: float) -> VideoTrack:
    codec = stream.codec_context
    start = stream_start(stream)
    return VideoTrack(
        index=stream.index,
        codec=codec_name(stream),
        width=codec.width if codec is not None else 0,
        height=codec.height if codec is not None else 0,
        fps=frame_rate(stream),
        start=0.0 if start is None else start - zero,
        pixel_aspect=float(stream.sample_aspect_ratio or 1),
    )


def _claimed_duration(container: InputContainer, streams: Sequence[Stream], zero: float) -> float | None:
    ends = [
        (stream_start(stream) or 0.0) + float(stream.duration * stream.time_base)
        for stream in streams
        if stream.duration is not None and stream.time_base
    ]
    if ends:
        return max(ends) - zero
    if container.duration is None:
        return None
    claimed = container.duration / av.time_base
    # Matroska counts from its own 0, not from where its first stream starts.
    return claimed - max(zero, 0.0) if container.format.name == "matroska,webm" else claimed
