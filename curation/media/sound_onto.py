"""Combines a video with new audio: its packets are copied, not encoded again."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import soxr
from av import time_base
from av.container.core import Flags
from av.error import FFmpegError

from manifests.time import to_ticks

from .clock import StreamClock
from .container import MediaError, one_line, open_media
from .encode import Encoded, beside, encode_audio, interleave, muxer
from .packets import read_packets, seek
from .probe import describe, no_video
from .tracks import codec_name, frame_rate, video_stream

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.container.core import Chapter
    from av.packet import Packet
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

SOUND_CODECS = {".mp4": "aac", ".mov": "aac", ".mkv": "aac", ".webm": "libopus"}
"""The audio codec of each supported container, by suffix."""

# Video codecs of each container that demuxers support everywhere.
_PICTURE_CODECS = {
    ".mp4": {"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mjpeg"},
    ".mov": {"h264", "hevc", "mpeg4", "mpeg2video", "mjpeg", "prores", "h263"},
    ".mkv": {
        *("h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "prores"),
        *("theora", "ffv1", "h263", "flv1", "wmv1", "wmv2", "wmv3", "vc1", "msmpeg4v2", "msmpeg4v3"),
    },
    ".webm": {"vp8", "vp9", "av1"},
}
_APPLE_HEVC = "hvc1"  # the one tag of HEVC that QuickTime and Safari play
_OF_THE_CONTAINER = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}  # not of the film
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_BITRATE = 192_000
# FFmpeg's usual search takes two to three times as long and is no nearer to the source at these rates.
_FAST = {"aac": {"aac_coder": "fast"}, "libopus": {}}
_MOST_REORDERED = 16  # frames: no codec reorders more
# How far before the start to search for a keyframe; None reads from the beginning.
_SEEK_BACK_SECONDS = (0.0, 10.0, None)


def check_sound_onto(path: str | os.PathLike[str], out: str | os.PathLike[str]) -> int:
    """The number of subtitle tracks that `sound_onto` leaves out.

    Raises ValueError if `out`'s container cannot hold the video codec of `path`, MediaError without video.
    """
    with open_media(path) as container:
        _check(Path(out), _pictures_of(container))
        return len(container.streams.subtitles)


def seconds_shown(path: str | os.PathLike[str]) -> float:
    """Duration of a file's video, in seconds from zero to the end of the last frame, from its packets.

    Headers may lack it, or state the value before the file was cut short. Nothing is decoded. Raises MediaError without
    packets.
    """
    with open_media(path) as container:
        stream, info = _pictures_of(container), describe(container)
        tick = float(stream.time_base or 0)
        usual = 1.0 / (frame_rate(stream) or math.inf)
        clock = StreamClock(info.zero, info.duration)
        end = 0.0
        for packet in read_packets(container, [stream], lambda why: None):
            raw = packet.pts if packet.pts is not None else packet.dts
            time = clock.seconds(None if raw is None else raw * tick, end)
            end = max(end, time + (packet.duration * tick if packet.duration else usual))
    if not end:
        raise MediaError("no_samples", "a video stream without packets")
    return end


def sound_onto(
    path: str | os.PathLike[str],
    sound: Iterable[NDArray[np.float32]],
    sample_rate: int,
    out: str | os.PathLike[str],
    *,
    start: float = 0.0,
    end: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write `out` (.mp4, .mov, .mkv or .webm): the video of `path` in [start, end) seconds, with `sound` as only audio.

    `sound`: float32 (samples,) or (channels, samples) at `sample_rate` Hz, pieces of any length, read as they are
    written; its first sample is at `start`. Video packets are copied from the keyframe at or before `start` on. MP4
    marks the frames before `start` as hidden; Matroska and WebM cannot, and show them in silence. Where frames are
    stored out of order, a few after `end` are included, because frames before it depend on them. Frames keep their
    sizes, colours, rotation and transparency, the file its title and chapters; subtitles are left out. `progress` is
    called with the seconds written. The file appears when it is complete.

    Raises MediaError without video, ValueError if the container does not support its codec.
    """
    target = Path(out)
    with open_media(path) as container:
        stream, info = _pictures_of(container), describe(container)
        _check(target, stream)
        container.flags |= cast(int, Flags.gen_pts.value)  # AVI has none
        with beside(target) as hidden, muxer(f"file:{hidden}", options=_options(target)) as output:
            # the decoder's own name: a codec may have no encoder here, and none is needed
            written = output.add_stream_from_template(stream, opaque=True)
            until = math.inf if end is None else end
            _describe(output, container, start, until)
            _describe_video(written, stream, target.suffix.lower())
            packets = _packets(container, stream, info.zero, start, until)
            rows = (piece if piece.ndim == 2 else piece[np.newaxis] for piece in sound)
            codec = SOUND_CODECS[target.suffix.lower()]
            rate = sample_rate if codec != "libopus" or sample_rate in _OPUS_RATES else 48_000
            try:
                encoders = [
                    _copied(output, packets, stream, written, info.zero + start),
                    encode_audio(output, _at_rate(rows, sample_rate, rate), rate, codec, _BITRATE, _FAST[codec]),
                ]
                interleave(encoders, progress)
            except FFmpegError as error:
                raise MediaError("unreadable", f"cannot be written into {target.suffix}: {one_line(error)}") from error


def _pictures_of(container: InputContainer) -> VideoStream:
    stream = video_stream(container)
    if stream is None:
        raise MediaError("no_video_stream", no_video(container))
    return stream


def _check(target: Path, stream: VideoStream) -> None:
    codec, suffix = codec_name(stream), target.suffix.lower()
    if suffix not in SOUND_CODECS:
        raise ValueError(f"{target}: suffix {suffix or 'missing'}: a video is written as {', '.join(SOUND_CODECS)}")
    if codec not in _PICTURE_CODECS[suffix]:
        others = [other for other, codecs in _PICTURE_CODECS.items() if codec in codecs]
        hint = f"write {' or '.join(others)}" if others else "no supported container does"
        raise ValueError(f"{target}: {suffix} does not support {codec} video: {hint}")


def _describe(output: OutputContainer, container: InputContainer, start: float, end: float) -> None:
    """Give the new file the title, and the chapters of [start, end) seconds."""
    output.metadata.update({key: value for key, value in container.metadata.items() if key not in _OF_THE_CONTAINER})
    chapters: list[Chapter] = []
    for chapter in container.chapters():
        tick = chapter["time_base"] or Fraction(1, time_base)
        rate = float(1 / tick)
        until = chapter["end"] if math.isinf(end) else min(chapter["end"], to_ticks(end, rate))
        first, last = (max(0, time - to_ticks(start, rate)) for time in (chapter["start"], until))
        if first < last:
            chapters.append({**chapter, "start": first, "end": last})
    output.set_chapters(chapters)


def _describe_video(written: VideoStream, stream: VideoStream, suffix: str) -> None:
    """Give the new video the language and title of the old one, its transparency, and the tag that players require."""
    kept = ("language", "title", "alpha_mode")  # Matroska may write them in capitals
    written.metadata.update({key: value for key, value in stream.metadata.items() if key.lower() in kept})
    if suffix in (".mp4", ".mov") and stream.codec_context.codec_tag == _APPLE_HEVC:
        written.codec_context.codec_tag = _APPLE_HEVC


def _options(target: Path) -> dict[str, str]:
    """Put the index first where the container has one: playback starts before the download is complete."""
    return {"movflags": "+faststart"} if target.suffix.lower() in (".mp4", ".mov") else {}


def _packets(
    container: InputContainer, stream: VideoStream, zero: float, start: float, end: float
) -> Iterator[Packet[Any]]:
    """Yield the packets of [start, end) seconds from zero, in decoding order, from a keyframe on."""
    tick = float(stream.time_base or 0)
    if start > 0:
        _seek(container, stream, zero + start, tick)
    for packet in read_packets(container, [stream], lambda why: None):
        if packet.dts is not None and packet.dts * tick - zero >= end:
            return
        yield packet


def _seek(container: InputContainer, stream: VideoStream, time: float, tick: float) -> None:
    """Seek to the last keyframe at or before `time`, in seconds on the container's continuous clock."""
    for back in _SEEK_BACK_SECONDS:
        begin = 0.0 if back is None else time - back
        seek(container, stream, begin)
        first = next(read_packets(container, [stream], lambda why: None), None)
        if back is None or (first is not None and first.is_keyframe and _time(first, tick) <= time + tick):
            seek(container, stream, begin)
            return


def _time(packet: Packet[Any], tick: float) -> float:
    raw = packet.pts if packet.pts is not None else packet.dts
    return math.inf if raw is None else raw * tick


def _copied(
    output: OutputContainer, packets: Iterator[Packet[Any]], stream: VideoStream, written: VideoStream, begin: float
) -> Encoded:
    """Yield the packets unchanged, on a clock that begins at `begin`, in seconds of container time."""
    tick = float(stream.time_base or 0)
    offset = to_ticks(begin, 1.0 / tick)
    last: int | None = None
    for dts, packet in _timed(packets):
        # broken clocks step back, which a muxer rejects
        dts = dts - offset if last is None else max(dts - offset, last + 1)
        pts = dts if packet.pts is None else max(packet.pts - offset, dts)
        packet.stream, packet.dts, packet.pts, last = written, dts, pts, dts
        yield dts * tick, output, [packet]
    if last is None:
        raise MediaError("no_samples", f"no frames from {begin:.3f} s on")


def _timed(packets: Iterator[Packet[Any]]) -> Iterator[tuple[int, Packet[Any]]]:
    """Yield packets with their decoding times in ticks.

    Matroska does not store these. They are derived from the display order; the first few are counted back from the next
    ones, so that no packet is decoded after it is shown.
    """
    ahead: list[Packet[Any]] = []
    for packet in packets:
        if packet.dts is None and len(ahead) < _MOST_REORDERED:
            ahead.append(packet)
            continue
        yield from _counted_back(ahead, packet.dts)
        ahead = []
        if packet.dts is not None:
            yield packet.dts, packet
        elif packet.pts is not None:
            yield packet.pts, packet
    yield from _counted_back(ahead, None)


def _counted_back(ahead: list[Packet[Any]], known: int | None) -> Iterator[tuple[int, Packet[Any]]]:
    shown = [packet.pts for packet in ahead if packet.pts is not None]
    if not shown:
        return  # their display times are unknown
    step = max(1, min((packet.duration for packet in ahead if packet.duration), default=1))
    end = min(shown) + step if known is None else known
    for index, packet in enumerate(ahead):
        yield end - step * (len(ahead) - index), packet


def _at_rate(pieces: Iterator[NDArray[np.float32]], rate: int, wanted: int) -> Iterator[NDArray[np.float32]]:
    """Resample float32 (channels, n) pieces to another rate in Hz."""
    if rate == wanted:
        yield from pieces
        return
    stream: soxr.ResampleStream | None = None
    for piece in pieces:
        stream = stream or soxr.ResampleStream(rate, wanted, len(piece), dtype="float32", quality="HQ")
        yield np.asarray(stream.resample_chunk(piece.T, last=False), np.float32).reshape(-1, len(piece)).T
        channels = len(piece)
    if stream is not None:
        rest = np.zeros((0, channels), np.float32)
        yield np.asarray(stream.resample_chunk(rest, last=True), np.float32).reshape(-1, channels).T
