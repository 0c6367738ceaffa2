"""Opens media files for reading, and parses their headers."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import av
import av.container
import av.stream
from av.audio.stream import AudioStream
from av.error import ArgumentError, FFmpegError
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from manifests.errors import LpseError, Problem

_Stream = TypeVar("_Stream", AudioStream, VideoStream)

# The containers we open. libavformat opens more: it draws any text file as ANSI art, reads subtitles and images,
# and follows playlists to other files and to the network. None of that is a recording.
_CONTAINERS = (
    "3gp,aa,aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,dtshd,dv,eac3,flac,flv,gxf,h264,hevc,iff,ivf,loas,m4v,"
    "matroska,mlp,mov,mp3,mp4,mpc,mpc8,mpeg,mpegts,mpegvideo,mxf,nut,ogg,oma,rm,shn,sox,swf,tak,truehd,tta,voc,"
    "w64,wav,webm,wtv,wv"
)

# First bytes of the usual containers: (offset, bytes). They only choose between two reasons for a file that
# cannot be opened: "not_media" (never was) and "unreadable" (was, and is broken).
_SIGNATURES = (
    *((4, mark) for mark in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    *((0, mark) for mark in (b"RIFF", b"RF64", b"riff", b"FORM", b"OggS", b"fLaC", b"ID3", b"FLV", b"caff")),
    *((0, mark) for mark in (b"\x1aE\xdf\xa3", b"0&\xb2u", b"\0\0\1\xba", b"\0\0\1\xb3", b".snd", b".RMF")),
)

_READ_RETRIES = 64  # consecutive failed reads before the rest of the file is abandoned

UNKNOWN_CODEC = "unknown"

_SHORT_NAMES = {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "matroska,webm": "matroska"}


class MediaError(LpseError):
    """A file without readable audio or video: `reason` for counting, one-line `detail` for people.

    `reason` is one of vanished, permission_denied, empty_file, not_media, unreadable, no_audio_stream, no_video_stream,
    decode_failed, no_samples. Neither text contains the path: the caller has it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)  # both in args, so that the error can be pickled between processes
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"

    @property
    def problem(self) -> Problem:
        """The error as a value."""
        return Problem(self.reason, self.detail)


@dataclass(frozen=True)
class AudioTrack:
    """The selected audio stream. `start` is in seconds from zero; rates are in Hz."""

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
    seconds (an MPEG transport stream may begin at any time).
    """

    container: str
    duration: float | None
    audio: AudioTrack | None
    video: VideoTrack | None
    zero: float = 0.0


def probe(path: str | os.PathLike[str]) -> MediaInfo:
    """Read the header of the file at `path`. Raises MediaError if it is not a readable media file."""
    with open_media(path) as container:
        return describe(container)


@contextmanager
def open_media(path: str | os.PathLike[str]) -> Iterator[av.container.InputContainer]:
    """Open a local file for demuxing and close it at the end. Raises MediaError if it cannot be opened."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise MediaError("not_media", "not a regular file")
        if status.st_size == 0:
            raise MediaError("empty_file", "0 bytes")
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise os_error(error) from None
    try:
        container = av.open(
            # "file:" keeps libavformat from reading a protocol into names such as `concat:a|b`.
            f"file:{os.fsdecode(path)}",
            container_options={
                "format_whitelist": _CONTAINERS,
                "protocol_whitelist": "file",
                # How far to read for the start of every stream. The default of 5 MB and 5 s is too little
                # where much of one stream comes before the other. Healthy files need only a few packets.
                "probesize": str(64 << 20),
                "analyzeduration": str(30 * av.time_base),
            },
            metadata_errors="replace",
        )
    except (FFmpegError, OSError) as error:
        if isinstance(error, (FileNotFoundError, PermissionError)):
            raise os_error(error) from None
        if isinstance(error, ArgumentError):  # that is how libavformat refuses what is not on our list
            raise MediaError("not_media", "text, subtitles, an image or a playlist") from None
        is_known = any(head[at : at + len(mark)] == mark for at, mark in _SIGNATURES)
        raise MediaError("unreadable" if is_known else "not_media", one_line(error)) from None
    with container:
        yield container


def describe(container: av.container.InputContainer) -> MediaInfo:
    """The MediaInfo of an open container."""
    audio, video = audio_stream(container), video_stream(container)
    both: tuple[av.stream.Stream, ...] = (*container.streams.audio, *container.streams.video)
    streams = [stream for stream in both if not _is_picture(stream)]
    zero = min((start for start in map(stream_start, streams) if start is not None), default=0.0)
    return MediaInfo(
        container=_SHORT_NAMES.get(container.format.name, container.format.name),
        duration=_claimed_duration(container, streams, zero),
        audio=None if audio is None else _audio_track(audio, zero),
        video=None if video is None else _video_track(video, zero),
        zero=zero,
    )


def read_packets(
    container: av.container.InputContainer,
    streams: Sequence[av.stream.Stream],
    failed: Callable[[str], None],
) -> Iterator[Packet[Any]]:
    """Yield all readable packets of `streams` in file order; other streams are skipped unread.

    `failed` is called with a one-line message for every failed read; reading then continues.
    """
    wanted = {stream.index for stream in streams}
    for stream in container.streams:
        if stream.index not in wanted:
            stream.discard = Discard.all
    failures = 0
    while failures < _READ_RETRIES:
        try:
            for packet in container.demux(*streams):
                if packet.size:
                    failures = 0
                    yield packet
            return
        except IndexError:
            return  # PyAV raises it at the end of some files in which streams appear late
        except FFmpegError as error:
            failures += 1
            if failures == 1:
                failed(one_line(error))


def audio_stream(container: av.container.InputContainer) -> AudioStream | None:
    """The audio stream to read: the first decodable one marked default, else the first decodable one."""
    return _choose(container.streams.audio)


def video_stream(container: av.container.InputContainer) -> VideoStream | None:
    """The video stream to read, chosen like the audio stream; cover images are excluded."""
    return _choose([stream for stream in container.streams.video if not _is_picture(stream)])


def stream_start(stream: av.stream.Stream) -> float | None:
    """Start of `stream` in seconds of container time; None if the header does not state it."""
    if stream.start_time is None or stream.time_base is None:
        return None
    return float(stream.start_time * stream.time_base)


def _choose(streams: Sequence[_Stream]) -> _Stream | None:
    def preference(stream: _Stream) -> tuple[bool, bool]:
        return stream.codec_context is None, not stream.disposition & Disposition.default

    return min(streams, key=preference, default=None)  # the first of the best


def _is_picture(stream: av.stream.Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _audio_track(stream: AudioStream, zero: float) -> AudioTrack:
    codec = stream.codec_context
    start = stream_start(stream)
    return AudioTrack(
        index=stream.index,
        codec=codec_name(stream),
        sample_rate=codec.sample_rate if codec is not None else 0,
        channels=codec.channels if codec is not None else 0,
        layout=codec.layout.name if codec is not None else "",
        start=0.0 if start is None else start - zero,
    )


def _video_track(stream: VideoStream, zero: float) -> VideoTrack:
    codec = stream.codec_context
    start = stream_start(stream)
    return VideoTrack(
        index=stream.index,
        codec=codec_name(stream),
        width=codec.width if codec is not None else 0,
        height=codec.height if codec is not None else 0,
        fps=float(stream.average_rate) if stream.average_rate else None,
        start=0.0 if start is None else start - zero,
        pixel_aspect=float(stream.sample_aspect_ratio or 1),
    )


def codec_name(stream: av.stream.Stream) -> str:
    """The codec of `stream` ("mp3"), not the decoder in use ("mp3float"); UNKNOWN_CODEC without a decoder."""
    codec = stream.codec_context
    return UNKNOWN_CODEC if codec is None else codec.codec.canonical_name


def _claimed_duration(
    container: av.container.InputContainer, streams: Sequence[av.stream.Stream], zero: float
) -> float | None:
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


def one_line(error: BaseException) -> str:
    """The message of `error` without error numbers, paths and line breaks."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def os_error(error: OSError) -> MediaError:
    """Convert an error of the file system to a MediaError."""
    if isinstance(error, PermissionError):
        return MediaError("permission_denied", one_line(error))
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return MediaError("vanished", one_line(error))
    return MediaError("unreadable", one_line(error))
