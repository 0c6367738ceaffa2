"""Opens media files for reading."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import av
import av.container
import av.stream
from av.error import ArgumentError, FFmpegError
from av.packet import Packet
from av.stream import Discard

from manifests.errors import LpseError, Problem

from .container_faults import refusal, understates_length

# The containers we open. libavformat opens more: it draws any text file as ANSI art, reads subtitles and images,
# and follows playlists to other files and to the network. None of that is a recording.
_CONTAINERS = (
    "3gp,aa,aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,dtshd,dv,eac3,flac,flv,gxf,h264,hevc,iff,ivf,loas,m4v,"
    "matroska,mlp,mov,mp3,mp4,mpc,mpc8,mpeg,mpegts,mpegvideo,mxf,nut,ogg,oma,rm,shn,sox,swf,tak,truehd,tta,voc,"
    "w64,wav,webm,wtv,wv"
)

RAW_FORMATS = ("g722", "gsm")
"""Telephone formats without a header: any bytes are valid, so the caller must name the format."""

# First bytes of the usual containers: (offset, bytes). They only choose between two reasons for a file that
# cannot be opened: "not_media" (never was) and "unreadable" (was, and is broken).
_SIGNATURES = (
    *((4, mark) for mark in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    *((0, mark) for mark in (b"RIFF", b"RF64", b"riff", b"FORM", b"OggS", b"fLaC", b"ID3", b"FLV", b"caff")),
    *((0, mark) for mark in (b"\x1aE\xdf\xa3", b"0&\xb2u", b"\0\0\1\xba", b"\0\0\1\xb3", b".snd", b".RMF")),
)

PROTOCOL = "file:"
_READ_RETRIES = 64  # consecutive failed reads before the rest of the file is abandoned


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


@contextmanager
def open_media(path: str | os.PathLike[str], raw_format: str | None = None) -> Iterator[av.container.InputContainer]:
    """Open a local file for demuxing and close it at the end. Raises MediaError if it cannot be opened.

    `raw_format`: one of RAW_FORMATS, for a file without a header; it is then read as that format, with any content.
    """
    if raw_format is not None and raw_format not in RAW_FORMATS:
        raise ValueError(f"raw_format={raw_format!r}: not one of {', '.join(RAW_FORMATS)}")
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
            f"{PROTOCOL}{os.fsdecode(path)}",
            format=raw_format,
            container_options={
                "format_whitelist": raw_format or _CONTAINERS,
                "protocol_whitelist": "file",
                # How far to read for the start of every stream. The default of 5 MB and 5 s is too little
                # where much of one stream comes before the other. Healthy files need only a few packets.
                "probesize": str(64 << 20),
                "analyzeduration": str(30 * av.time_base),
                **({"ignore_length": "1"} if understates_length(path) else {}),
            },
            metadata_errors="replace",
        )
    except (FFmpegError, OSError) as error:
        if isinstance(error, (FileNotFoundError, PermissionError)):
            raise os_error(error) from None
        if isinstance(error, ArgumentError):  # that is how libavformat refuses what is not on our list
            raise MediaError("not_media", "text, subtitles, an image or a playlist") from None
        is_known = any(head[at : at + len(mark)] == mark for at, mark in _SIGNATURES)
        why = refusal(path, head) or one_line(error)
        raise MediaError("unreadable" if is_known else "not_media", why) from None
    with container:
        yield container


def raw_packets(
    container: av.container.InputContainer,
    streams: Sequence[av.stream.Stream],
    failed: Callable[[str], None],
) -> Iterator[Packet[Any]]:
    """Yield all readable packets of `streams` in file order, as they are; other streams are skipped unread.

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
