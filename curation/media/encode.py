"""Writing media: whole files, and the small pieces that a report shows."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from manifests.time import Segment, to_ticks

from .audio import Lane, audio_span
from .frames import frames as read_frames

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from numpy.typing import NDArray

PREVIEW_TYPE = "audio/webm"  # of what encode_preview returns: Opus, which every browser plays without extras
_PREVIEW_RATE = 48000
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


def write_media(
    path: str | os.PathLike[str],
    *,
    frames: Iterable[NDArray[np.uint8]] | None = None,
    fps: float | Fraction | None = None,
    audio: Iterable[NDArray[np.float32]] | None = None,
    sample_rate: int | None = None,
    video_codec: str = "libx264",
    video_options: Mapping[str, str] | None = None,
    audio_codec: str = "aac",
    audio_bitrate: int = 128_000,
) -> None:
    """Write a media file; its suffix says which container. Both streams start at 0 and are read as they go.

    `frames`: uint8 (height, width, 3) RGB, all of one size, `fps` a second. `audio`: float32 (channels, n) at
    `sample_rate` Hz, pieces of any length. `video_options` are the encoder's own, such as {"crf": "30"}.
    Equal input gives equal bytes. The file appears under its name when it is complete, and only then.

    Raises ValueError when neither stream is given, without its rate, or when one has nothing in it.
    """
    if frames is None and audio is None:
        raise ValueError(f"{os.fspath(path)}: neither frames nor audio to write")
    if frames is not None and fps is None:
        raise ValueError(f"{os.fspath(path)}: frames need fps")
    if audio is not None and sample_rate is None:
        raise ValueError(f"{os.fspath(path)}: audio needs sample_rate")
    with _beside(Path(path)) as target, _muxer(f"file:{target}") as output:
        lanes: list[_Encoded] = []
        if frames is not None and fps is not None:
            rate = Fraction(fps).limit_denominator(1001)
            lanes.append(_encode_video(output, frames, rate, video_codec, video_options or {}))
        if audio is not None and sample_rate is not None:
            lanes.append(_encode_audio(output, audio, sample_rate, audio_codec, audio_bitrate))
        _interleave(output, lanes)


def encode_preview(
    path: str | os.PathLike[str], segment: Segment, *, bitrate: int = 48_000, max_seconds: float | None = None
) -> bytes:
    """The sound in `segment`, mono, as a WebM file for an <audio> element, exact to the sample at 48 kHz.

    At most `max_seconds` of it, from its start. Where the recording has a gap the preview is silent; where it
    ends early, so does the preview. Raises MediaError when there is no sound.
    """
    seconds = segment.duration if max_seconds is None else min(segment.duration, max_seconds)
    target = io.BytesIO()
    with _muxer(target, "webm") as output:
        mono = _mono(path, segment.start, segment.start + seconds)
        _interleave(output, [_encode_audio(output, mono, _PREVIEW_RATE, "libopus", bitrate)])
    return target.getvalue()


def thumbnail(path: str | os.PathLike[str], time: float, width: int = 160) -> bytes:
    """The picture on screen at `time` seconds as a JPEG `width` pixels wide. MediaError without one."""
    shown = next(read_frames(path, 1.0, start=time, end=time + 1.0))
    height, full_width = shown.image.shape[:2]
    frame = av.VideoFrame.from_ndarray(shown.image, format="rgb24").reformat(
        width=width, height=max(1, round(height * width / full_width)), format="yuvj420p"
    )
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuvj420p"
    encoder.time_base = Fraction(1, 25)  # the encoder wants one
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


_Encoded = Iterator[tuple[float, list["Packet[Any]"]]]  # (how far it has come in seconds, what came out)


@contextmanager
def _muxer(target: str | io.BytesIO, format_name: str | None = None) -> Iterator[OutputContainer]:
    # bitexact: no random ids, dates or versions, so that equal input gives equal bytes.
    with av.open(target, "w", format=format_name, container_options={"fflags": "+bitexact"}) as output:
        yield output


def _interleave(output: OutputContainer, lanes: list[_Encoded]) -> None:
    """Run the encoders side by side, always the one that is behind: the muxer need not hold packets then."""
    reached = dict.fromkeys(range(len(lanes)), 0.0)
    while reached:
        index = min(reached, key=reached.__getitem__)
        step = next(lanes[index], None)
        if step is None:
            del reached[index]
        else:
            reached[index], packets = step
            output.mux(packets)


def _encode_video(
    output: OutputContainer,
    frames: Iterable[NDArray[np.uint8]],
    fps: Fraction,
    codec: str,
    options: Mapping[str, str],
) -> _Encoded:
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise ValueError("no frames to write")
    height, width, _ = first.shape
    if height % 2 or width % 2:
        raise ValueError(f"frames are {width} x {height}: both must be even, as colour has half the resolution")
    added = output.add_stream(codec, rate=fps, options=dict(options), width=width, height=height)
    stream = cast(VideoStream, added)

    def steps() -> Iterator[tuple[float, list[Packet[Any]]]]:
        for index, image in enumerate(chain([first], rest)):
            if image.shape != first.shape:
                raise ValueError(f"frame {index} is {image.shape}, the first one {first.shape}")
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, 1 / fps
            yield float((index + 1) / fps), stream.encode(frame)
        yield math.inf, stream.encode(None)

    return steps()


def _encode_audio(
    output: OutputContainer, audio: Iterable[NDArray[np.float32]], rate: int, codec: str, bitrate: int
) -> _Encoded:
    pieces = (piece for piece in audio if piece.shape[1])
    first = next(pieces, None)
    if first is None:
        raise ValueError("no audio to write")
    channels = len(first)
    if channels not in _LAYOUTS:
        raise ValueError(f"{channels} audio channels, at most {max(_LAYOUTS)}")
    stream = cast(AudioStream, output.add_stream(codec, rate=rate, layout=_LAYOUTS[channels], bit_rate=bitrate))

    def steps() -> Iterator[tuple[float, list[Packet[Any]]]]:
        position = 0
        for piece in chain([first], pieces):
            if len(piece) != channels:
                raise ValueError(f"audio has {len(piece)} channels at {position / rate:.3f} s, before {channels}")
            for begin in range(0, piece.shape[1], rate):  # short steps, so that the picture can keep up
                step = np.ascontiguousarray(piece[:, begin : begin + rate].T, np.float32).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(step, format="flt", layout=_LAYOUTS[channels])
                frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
                position += frame.samples
                yield position / rate, stream.encode(frame)
        yield math.inf, stream.encode(None)

    return steps()


def _mono(path: str | os.PathLike[str], start: float, end: float) -> Iterator[NDArray[np.float32]]:
    """The mean of the channels in [start, end) at the preview's rate, float32 (1, n)."""
    left = to_ticks(end - start, _PREVIEW_RATE)
    lane: Lane | None = None
    for rate, piece in audio_span(path, start, end):
        if lane is None:
            lane = Lane(rate, _PREVIEW_RATE)
        lane.feed(piece.mean(axis=0))
        ready = lane.take(lane.ready)
        left -= len(ready)
        yield ready[np.newaxis]
    if lane is not None:
        lane.feed(np.empty(0, np.float32), last=True)
        yield lane.take(min(lane.ready, left))[np.newaxis]  # a resampler may round the end up


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A hidden path in the same folder and with the same suffix, renamed to `path` when all went well."""
    target = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield target
        os.replace(target, path)
    finally:
        target.unlink(missing_ok=True)
