"""Chooses the streams of a file to read: its sound, in one stream or in several, and its video.

Cameras write every microphone as a track of its own, screen recorders one track for the sound and one for the
microphone, discs add commentaries and dubs. The rule, the same for every reader:

1. Tracks that a file marks as a comment, as described for the blind, or as a dub count only if there is no other.
2. Of the rest, the track marked as default is read, else the first one; if it is silent throughout and another is not,
   that other.
3. If that track is mono, all other mono tracks of its codec, sample rate and language are channels of the same sound,
   except those that are silent throughout: recorders write a track for every input, connected or not. But a file that
   marks a later track as its only default means that one alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from manifests.records import AudioTrack

from .container import PROTOCOL, open_media, raw_packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from numpy.typing import NDArray

UNKNOWN_CODEC = "unknown"

_ROLES = {
    "comment": Disposition.comment,
    "visual_impaired": Disposition.visual_impaired,
    "dub": Disposition.dub,
    "descriptions": Disposition.descriptions,
}
_ROLE_IN_TITLE = (
    ("comment", re.compile(r"\bcommentary\b", re.IGNORECASE)),
    ("visual_impaired", re.compile(r"\baudio description\b|\bdescriptive\b", re.IGNORECASE)),
)
_NO_LANGUAGE = ("", "und", "mul", "zxx")
_FASTEST = 1000  # frames per second
_SILENT = 1e-4  # the largest sample of a track that is off: -80 dBFS
_TOGETHER_SECONDS = 0.5  # tracks of one sound start, and end, within this time of each other

_Kind = TypeVar("_Kind", AudioStream, VideoStream)


def audio_streams(container: InputContainer) -> tuple[AudioStream, ...]:
    """The streams that together are the sound of a file, most often one; none in a file without audio."""
    streams = container.streams.audio
    if len(streams) < 2:
        return tuple(streams)
    path = container.name.removeprefix(PROTOCOL)
    status = os.stat(path)
    chosen = _chosen(path, status.st_size, status.st_mtime_ns)
    return tuple(stream for stream in streams if stream.index in chosen)


def audio_tracks(container: InputContainer) -> tuple[AudioTrack, ...]:
    """All audio tracks of a file, in its order."""
    path, chosen = container.name.removeprefix(PROTOCOL), {stream.index for stream in audio_streams(container)}
    return tuple(_track(path, stream, stream.index in chosen) for stream in container.streams.audio)


def video_stream(container: InputContainer) -> VideoStream | None:
    """The video stream to read: the first decodable one marked default, else the first; no cover images."""
    return _preferred([stream for stream in container.streams.video if not is_cover(stream)])


def is_cover(stream: Stream) -> bool:
    """True for an image that comes with a file of audio."""
    return bool(stream.disposition & Disposition.attached_pic)


def codec_name(stream: Stream) -> str:
    """The codec of `stream` ("mp3"), not the decoder in use ("mp3float"); UNKNOWN_CODEC without a decoder."""
    codec = stream.codec_context
    return UNKNOWN_CODEC if codec is None else codec.codec.canonical_name


def stream_start(stream: Stream) -> float | None:
    """Start of `stream` in seconds of container time; None if the header does not state it."""
    if stream.start_time is None or stream.time_base is None:
        return None
    return float(stream.start_time * stream.time_base)


def frame_rate(stream: VideoStream) -> float | None:
    """Mean frames per second; None if unknown. For DV, libavformat gives the clock's ticks instead."""
    rate = stream.average_rate
    if rate and rate > _FASTEST:
        rate = stream.guessed_rate
    return float(rate) if rate else None


def _preferred(streams: Sequence[_Kind]) -> _Kind | None:
    def preference(stream: _Kind) -> tuple[bool, bool]:
        return stream.codec_context is None, not stream.disposition & Disposition.default

    return min(streams, key=preference, default=None)  # the first of the best


@lru_cache(maxsize=256)
def _chosen(path: str, size: int, modified: int) -> frozenset[int]:
    """The indices of the streams to read, of a file with several audio tracks."""
    with open_media(path) as container:
        usual = [s for s in container.streams.audio if s.codec_context is not None and not _role(s)]
        candidates = usual or list(container.streams.audio)
        first = _preferred(candidates)
        assert first is not None
        ordered = [first, *(stream for stream in candidates if stream is not first)]
        chosen = first
        if len(ordered) > 1 and is_silent(path, first.index):
            chosen = next((stream for stream in ordered[1:] if not is_silent(path, stream.index)), first)
        if first is not candidates[0]:
            return frozenset([chosen.index])
        others = [stream for stream in candidates if stream is not chosen and _is_channel(stream, chosen)]
        return frozenset([chosen.index, *(other.index for other in others if not is_silent(path, other.index))])


def _is_channel(stream: AudioStream, chosen: AudioStream) -> bool:
    """True if a track is, or could be, a channel of the same sound as the chosen one: mono, and alike."""
    return (
        _format(stream) == _format(chosen)
        and _format(stream)[2] == 1
        and _alike(stream_start(stream), stream_start(chosen))
        and _alike(_length(stream), _length(chosen))
    )


def _format(stream: AudioStream) -> tuple[str, int, int, str]:
    name = codec_name(stream)
    if name == UNKNOWN_CODEC:
        return name, 0, 0, ""
    codec = stream.codec_context
    return name, codec.sample_rate, codec.channels, _language(stream)


def _alike(first: float | None, second: float | None) -> bool:
    return first is None or second is None or abs(first - second) <= _TOGETHER_SECONDS


def _length(stream: Stream) -> float | None:
    return None if stream.duration is None or not stream.time_base else float(stream.duration * stream.time_base)


def is_silent(path: str, index: int) -> bool:
    """True if no sample of an audio track reaches -80 dBFS; it is decoded up to the first one that does."""
    status = os.stat(path)
    return _is_silent(path, index, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _is_silent(path: str, index: int, size: int, modified: int) -> bool:
    with open_media(path) as container:
        stream = container.streams[index]
        if not isinstance(stream, AudioStream) or codec_name(stream) == UNKNOWN_CODEC:
            return False
        for packet in chain(raw_packets(container, [stream], lambda failure: None), [None]):
            try:
                for frame in stream.codec_context.decode(packet):
                    if _reaches(frame.to_ndarray()):
                        return False
            except FFmpegError:
                continue
    return True


def _reaches(samples: NDArray[Any]) -> bool:
    if samples.dtype.kind == "f":
        return bool(np.abs(samples).max(initial=0.0) > _SILENT)
    middle = 128 if samples.dtype == np.uint8 else 0
    highest = 128 if samples.dtype == np.uint8 else np.iinfo(samples.dtype).max
    return bool(np.abs(samples.astype(np.float64) - middle).max(initial=0.0) > _SILENT * highest)


def _track(path: str, stream: AudioStream, chosen: bool) -> AudioTrack:
    codec = stream.codec_context
    return AudioTrack(
        index=stream.index,
        codec=codec_name(stream),
        sample_rate=0 if codec is None else codec.sample_rate,
        channels=0 if codec is None else codec.channels,
        language=_language(stream),
        title=_title(stream),
        role=_role(stream),
        chosen=chosen,
        silent=not chosen and not _role(stream) and is_silent(path, stream.index),
    )


def _role(stream: Stream) -> str:
    for role, mark in _ROLES.items():
        if stream.disposition & mark:
            return role
    title = _title(stream)
    return next((role for role, words in _ROLE_IN_TITLE if words.search(title)), "")


def _language(stream: Stream) -> str:
    language = stream.metadata.get("language", "").strip().lower()
    return "" if language in _NO_LANGUAGE else language


def _title(stream: Stream) -> str:
    return " ".join(stream.metadata.get("title", "").split())
