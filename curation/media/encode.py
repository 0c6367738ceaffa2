"""Writes media files, and the previews and thumbnails of a report."""

from __future__ import annotations

import io
import math
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from manifests.time import Segment

from .audio import mixed_span
from .frames import frames as read_frames
from .mix import two_sides
from .probe import probe

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from numpy.typing import NDArray

PREVIEW_TYPE = "audio/webm"  # the type of encode_preview's result: Opus, which every browser plays
_PREVIEW_RATE = 48000
_PART = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.part(\.\w+)?")
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
    """Write a media file in the container of its suffix. Both streams start at 0 and are consumed as they are written.

    `frames`: uint8 (height, width, 3) RGB, all of one size, `fps` per second. `audio`: float32 (channels, n) at
    `sample_rate` Hz, pieces of any length. `video_options` are the encoder's, for example {"crf": "30"}. Equal input
    gives equal bytes. The file appears under its name only when it is complete.

    Raises ValueError if both streams are missing, a rate is missing, or a stream is empty.
    """
    if frames is None and audio is None:
        raise ValueError(f"{os.fspath(path)}: no frames and no audio to write")
    if frames is not None and fps is None:
        raise ValueError(f"{os.fspath(path)}: frames need fps")
    if audio is not None and sample_rate is None:
        raise ValueError(f"{os.fspath(path)}: audio needs sample_rate")
    with beside(Path(path)) as target, muxer(f"file:{target}") as output:
        encoders: list[Encoded] = []
        if frames is not None and fps is not None:
            rate = Fraction(fps).limit_denominator(1001)
            encoders.append(encode_video(output, _as_pictures(frames), rate, video_codec, video_options or {}))
        if audio is not None and sample_rate is not None:
            encoders.append(encode_audio(output, audio, sample_rate, audio_codec, audio_bitrate))
        interleave(encoders)


def encode_preview(
    path: str | os.PathLike[str], segment: Segment, *, bitrate: int = 48_000, max_seconds: float | None = None
) -> bytes:
    """Encode the audio in `segment` as a WebM file for an <audio> element, exact to the sample at 48 kHz.

    One or two channels, mixed from more. At most the first `max_seconds`. The preview is silent in gaps of the
    recording, and ends where the recording ends. Raises MediaError without audio.
    """
    seconds = segment.duration if max_seconds is None else min(segment.duration, max_seconds)
    track = probe(path).audio
    layout = track.layout if track else ""
    target = io.BytesIO()
    with muxer(target, "webm") as output:
        end = segment.start + seconds
        mixed = mixed_span(path, segment.start, end, _PREVIEW_RATE, lambda count: two_sides(count, layout))
        interleave([encode_audio(output, mixed, _PREVIEW_RATE, "libopus", bitrate)])
    return target.getvalue()


def thumbnail(path: str | os.PathLike[str], time: float, width: int = 160) -> bytes:
    """The frame displayed at `time` seconds as a JPEG `width` pixels wide. Raises MediaError without one."""
    shown = next(read_frames(path, 1.0, start=time, end=time + 1.0))
    height, full_width = shown.image.shape[:2]
    frame = av.VideoFrame.from_ndarray(shown.image, format="rgb24").reformat(
        width=width, height=max(1, round(height * width / full_width)), format="yuvj420p"
    )
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuvj420p"
    encoder.time_base = Fraction(1, 25)  # the encoder requires one
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


# (seconds encoded so far, the output and the new packets for it)
Encoded = Iterator[tuple[float, "OutputContainer", list["Packet[Any]"]]]


@contextmanager
def muxer(
    target: str | io.BytesIO, format_name: str | None = None, options: Mapping[str, str] | None = None
) -> Iterator[OutputContainer]:
    """Open an output file that is complete when the block ends. Equal streams give equal bytes."""
    # bitexact: no random ids, dates or versions
    chosen = {"fflags": "+bitexact", **(options or {})}
    with av.open(target, "w", format=format_name, container_options=chosen) as output:
        yield output


def interleave(lanes: Sequence[Encoded], progress: Callable[[float], None] | None = None) -> None:
    """Run the encoders side by side, always the one that is behind, so that muxers need not buffer packets.

    `progress` is called with the seconds that all encoders have reached.
    """
    encoded = dict.fromkeys(range(len(lanes)), 0.0)
    while encoded:
        index = min(encoded, key=encoded.__getitem__)
        step = next(lanes[index], None)
        if step is None:
            del encoded[index]
            continue
        encoded[index], output, packets = step
        output.mux(packets)
        behind = min(encoded.values())
        if progress is not None and math.isfinite(behind):
            progress(behind)


def encode_video(
    output: OutputContainer,
    pictures: Iterable[av.VideoFrame],
    fps: Fraction,
    codec: str,
    options: Mapping[str, str],
) -> Encoded:
    """Encode frame k at k / `fps` seconds, unchanged; all have the size of the first one, which must be even."""
    rest = iter(pictures)
    first = next(rest, None)
    if first is None:
        raise ValueError("no frames to write")
    if first.height % 2 or first.width % 2:
        raise ValueError(
            f"frames are {first.width} x {first.height}: both must be even, as colour has half the resolution"
        )
    added = output.add_stream(codec, rate=fps, options=dict(options), width=first.width, height=first.height)
    stream = cast(VideoStream, added)
    stream.codec_context.color_range, stream.codec_context.colorspace = first.color_range, first.colorspace

    def steps() -> Encoded:
        for index, frame in enumerate(chain([first], rest)):
            frame.pts, frame.time_base = index, 1 / fps
            yield float((index + 1) / fps), output, stream.encode(frame)
        yield math.inf, output, stream.encode(None)

    return steps()


def encode_audio(
    output: OutputContainer,
    audio: Iterable[NDArray[np.float32]],
    rate: int,
    codec: str,
    bitrate: int,
    options: Mapping[str, str] | None = None,
) -> Encoded:
    """Encode float32 (channels, n) at `rate` Hz, pieces of any length."""
    pieces = (piece for piece in audio if piece.shape[1])
    first = next(pieces, None)
    if first is None:
        raise ValueError("no audio to write")
    channels = len(first)
    if channels not in _LAYOUTS:
        raise ValueError(f"{channels} audio channels, at most {max(_LAYOUTS)}")
    layout = _LAYOUTS[channels]
    added = output.add_stream(codec, rate=rate, layout=layout, bit_rate=bitrate, options=dict(options or {}))
    stream = cast(AudioStream, added)

    def steps() -> Encoded:
        position = 0
        for piece in chain([first], pieces):
            if len(piece) != channels:
                raise ValueError(f"audio has {len(piece)} channels at {position / rate:.3f} s, before {channels}")
            for begin in range(0, piece.shape[1], rate):  # short steps, so that the video can keep up
                step = np.ascontiguousarray(piece[:, begin : begin + rate].T, np.float32).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(step, format="flt", layout=layout)
                frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
                position += frame.samples
                yield position / rate, output, stream.encode(frame)
        yield math.inf, output, stream.encode(None)

    return steps()


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A new hidden file in the same folder and with the same suffix, renamed to `path` if the block succeeds."""
    target = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.part{path.suffix}")
    try:
        with open(target, "xb"):
            pass  # created by us: an existing link is not followed
        yield target
        with open(target, "rb") as file:
            os.fsync(file.fileno())  # after a power cut the name must not refer to half a file
        os.replace(target, path)
    finally:
        target.unlink(missing_ok=True)


def half_written(folder: Path) -> Iterator[Path]:
    """Unfinished files below `folder`: their writers were killed, or are still writing."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names if _PART.fullmatch(name))


def _as_pictures(images: Iterable[NDArray[np.uint8]]) -> Iterator[av.VideoFrame]:
    shape: tuple[int, ...] | None = None
    for index, image in enumerate(images):
        if shape is not None and image.shape != shape:
            raise ValueError(f"frame {index} is {image.shape}, the first one {shape}")
        shape = image.shape
        yield av.VideoFrame.from_ndarray(image, format="rgb24")
