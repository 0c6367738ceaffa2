"""Decodes the video frames at requested times."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, dropwhile, pairwise
from typing import TYPE_CHECKING

import av
import numpy as np
from av.error import FFmpegError

from .clock import StreamClock
from .container import MediaError, one_line, open_media
from .packets import read_packets, seek
from .probe import describe, no_video
from .tracks import frame_rate, video_stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

_NOISE_SECONDS = 1e-6  # times are sums of floats
_ROUNDING_SECONDS = 0.001  # the coarsest tick in use is Matroska's, 1 ms
# How far before the start to search for a keyframe; None reads from the beginning. The first is right for
# files with a valid index, the others are for those that seek too far, or to no keyframe.
_SEEK_BACK_SECONDS = (0.0, 3.0, 10.0, None)


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """The frame displayed at `time` seconds from zero: uint8 (height, width, 3), RGB, upright."""

    time: float
    image: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    """A decoded frame, displayed from `time` until `until` unless the next one replaces it earlier.

    Containers round times to a tick, up or down, by at most `slack` seconds.
    """

    time: float
    until: float
    slack: float
    frame: av.VideoFrame


def frames(
    path: str | os.PathLike[str],
    fps: float,
    *,
    size: tuple[int, int] | None = None,
    start: float = 0.0,
    end: float | None = None,
) -> Iterator[VideoFrame]:
    """Yield the frames displayed at start + k / fps, for k = 0, 1, … while that is before `end`.

    The displayed frame is the last one at or before a time; before the first frame, the first; after the last, the
    last. So there are always ceil((end - start) * fps) of them; without `end` they stop where the video does. `size` is
    (width, height) of the images, by default the video's. Zero is the earliest start of any stream, as for audio.

    Raises MediaError (at the first frame) if there are no frames, ValueError for fps <= 0 and start < 0.
    """
    for picture, times in pictures_at(path, fps, start, end):
        image = _upright(picture, size)
        for time in times[:-1]:
            yield VideoFrame(time, image.copy())  # each image is its own: the caller may write into it
        yield VideoFrame(times[-1], image)


def pictures_at(
    path: str | os.PathLike[str], fps: float, start: float = 0.0, end: float | None = None
) -> Iterator[tuple[av.VideoFrame, list[float]]]:
    """As `frames`, but yields each decoded frame once, unconverted, with the times at which it is displayed."""
    if not (math.isfinite(fps) and fps > 0 and math.isfinite(start) and start >= 0):
        raise ValueError(f"fps={fps}, start={start}: fps must be above 0, start at least 0, both finite")
    if end is not None and not math.isfinite(end):
        raise ValueError(f"end={end}: must be finite")
    stop = math.inf if end is None else end
    index = 0
    now: _Picture | None = None
    for picture in _pictures(path, start):
        # The first frame also covers the time before it, so its times are unknown until the second comes.
        if now is not None:
            times = _times(start, index, fps, min(picture.time - picture.slack, stop))
            if times:
                yield now.frame, times
            index += len(times)
            if start + index / fps >= stop - _NOISE_SECONDS:
                return
        now = picture
    if now is not None:
        times = _times(start, index, fps, now.until if end is None else end)
        if times:
            yield now.frame, times


def frames_reaching(
    path: str | os.PathLike[str], times: Sequence[float]
) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
    """For each of `times` (ascending, in seconds from zero), the first frame at or after it.

    Video encoders were trained with this rule (https://github.com/hkchengrex/MMAudio); `frames` yields the displayed
    frames instead. Each frame is yielded once, as (the indices of its times, uint8 (height, width, 3), RGB, upright).
    The last frame serves all later times. Memory does not grow with the number of times.

    Raises MediaError (at the first frame) if there are no frames, ValueError for times below 0 or not in order.
    """
    if any(not before <= after for before, after in pairwise([0.0, *times])):
        raise ValueError("times must be at least 0 and in order")
    done, last = 0, None
    for picture in _pictures(path, times[0]) if times else ():
        first, last = done, picture.frame
        while done < len(times) and times[done] <= picture.time + picture.slack + _NOISE_SECONDS:
            done += 1
        if done > first:
            yield list(range(first, done)), _upright(picture.frame, None)
            if done == len(times):
                return
    if last is not None:
        yield list(range(done, len(times))), _upright(last, None)


def quarter_turns(frame: av.VideoFrame) -> int:
    """The number of left turns by 90 degrees, 0 to 3, that make a frame upright, from the camera's metadata."""
    return round(frame.rotation / 90) % 4


def _times(start: float, index: int, fps: float, stop: float) -> list[float]:
    """The times start + k / fps from k = index on that are before `stop`."""
    count = math.ceil((stop - _NOISE_SECONDS - start) * fps) - index
    return [start + k / fps for k in range(index, index + count)]


def _upright(frame: av.VideoFrame, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """A decoded frame as `VideoFrame.image`, of (width, height) `size` or its own size."""
    turns = quarter_turns(frame)
    width, height = size or (None, None)
    if turns % 2:
        width, height = height, width
    image = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(image, turns), np.uint8)


def _pictures(path: str | os.PathLike[str], start: float) -> Iterator[_Picture]:
    """Yield the frames from the one displayed at `start` on (and some before it), in display order."""
    for back in _SEEK_BACK_SECONDS if start > 0 else (None,):
        with open_media(path) as container:
            stream = video_stream(container)
            if stream is None:
                raise MediaError("no_video_stream", no_video(container))
            if stream.codec_context is None:
                raise MediaError("decode_failed", "no decoder for the video codec")
            errors: list[str] = []
            decoded = _decode(container, stream, None if back is None else max(0.0, start - back), errors)
            first = next(decoded, None)
            if first is not None and (back is None or first.time - first.slack <= start):
                yield first
                yield from decoded
                return
    reason = "decode_failed" if errors else "no_samples"
    raise MediaError(reason, f"no frame; {len(errors)} errors" + "".join(f", the first: {e}" for e in errors[:1]))


def _decode(
    container: InputContainer, stream: VideoStream, begin: float | None, errors: list[str]
) -> Iterator[_Picture]:
    """Yield all decodable frames from the keyframe before `begin` on."""
    info = describe(container)
    context = stream.codec_context
    context.thread_count = 1
    tick = float(stream.time_base or 0)
    usual = 1.0 / (frame_rate(stream) or math.inf)
    if begin is not None:
        seek(container, stream, begin + info.zero)
    clock = StreamClock(info.zero, info.duration)
    until: float | None = None
    packets = read_packets(container, [stream], errors.append)
    if begin is not None:
        # A transport stream is searched by its clock alone. Frames before a keyframe can be decoded, but from
        # reference frames that are missing.
        packets = dropwhile(lambda packet: not packet.is_keyframe, packets)
    for packet in chain(packets, [None]):
        try:
            for frame in context.decode(packet):
                raw = None if frame.pts is None else frame.pts * tick
                if until is None:  # the first frame after any seek is right by definition
                    until = 0.0 if raw is None else raw - info.zero
                time = clock.seconds(raw, until)
                until = time + (frame.duration * tick if frame.duration else usual)
                yield _Picture(time, until, min(tick / 2, _ROUNDING_SECONDS), frame)
        except FFmpegError as error:
            errors.append(one_line(error))
