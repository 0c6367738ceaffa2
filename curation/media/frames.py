"""Pictures at the times asked for."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, dropwhile, pairwise
from typing import TYPE_CHECKING

import av
import numpy as np
from av.error import FFmpegError

from manifests.time import to_ticks

from .clock import StreamClock
from .probe import MediaError, describe, one_line, open_media, read_packets, video_stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

_NOISE_SECONDS = 1e-6  # times are sums of floats
_ROUNDING_SECONDS = 0.001  # the coarsest tick in use is Matroska's, 1 ms
# How far before the start to look for a key picture; None reads from the beginning. The first is right for
# files with a sound index, the others are for those that jump too far, or to no key picture.
_SEEK_BACK_SECONDS = (0.0, 3.0, 10.0, None)


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """The picture on screen at `time` seconds from zero: uint8 (height, width, 3), RGB, upright."""

    time: float
    image: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    """A decoded picture that is on screen from `time` on and lasts until `until` if nothing replaces it.

    Containers round times to a tick, up as well as down: by as much as `slack` seconds.
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
    """The pictures on screen at start + k / fps, for k = 0, 1, … while that is before `end`.

    On screen is the last picture whose time has come; before the first one, the first; after the last one,
    the last. So there are always ceil((end - start) * fps) of them; without `end` they stop where the video
    does. `size` is (width, height) of the images, else they are as large as the video's. Zero is the earliest
    start of any stream, as for sound.

    Raises MediaError (at the first picture) when there is none, ValueError for fps <= 0 and start < 0.
    """
    for picture, times in pictures_at(path, fps, start, end):
        image = _upright(picture, size)
        for time in times[:-1]:
            yield VideoFrame(time, image.copy())  # each image is its own: the caller may write into it
        yield VideoFrame(times[-1], image)


def pictures_at(
    path: str | os.PathLike[str], fps: float, start: float = 0.0, end: float | None = None
) -> Iterator[tuple[av.VideoFrame, list[float]]]:
    """As `frames`, but each picture as it was decoded and once, with the times at which it is on screen."""
    if not (math.isfinite(fps) and fps > 0 and math.isfinite(start) and start >= 0):
        raise ValueError(f"fps={fps}, start={start}: fps must be above 0, start at least 0, both finite")
    if end is not None and not math.isfinite(end):
        raise ValueError(f"end={end}: must be finite")
    stop = math.inf if end is None else end
    index = 0
    now: _Picture | None = None
    for picture in _pictures(path, start):
        # The first picture also stands in for the time before it, so it shows nothing until the second comes.
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
    """Of each of `times` (ascending, in seconds from zero) the first picture that is not before it.

    This is how video encoders were trained to see (https://github.com/hkchengrex/MMAudio); `frames` gives what is on
    screen instead. Pictures come once, as (the indices of their times, uint8 (height, width, 3), RGB, upright); after
    the last picture, that one stands for the times that are left. Memory does not grow with the number of times.

    Raises MediaError (at the first picture) when there is none, ValueError for times below 0 or not in order.
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
    """How often a picture must be turned left by 90 degrees to be upright, 0 to 3, as the camera noted it."""
    return round(frame.rotation / 90) % 4


def _times(start: float, index: int, fps: float, stop: float) -> list[float]:
    """The times start + k / fps from k = index on that are before `stop`."""
    count = math.ceil((stop - _NOISE_SECONDS - start) * fps) - index
    return [start + k / fps for k in range(index, index + count)]


def _upright(frame: av.VideoFrame, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """A decoded picture as `VideoFrame.image`, of (width, height) `size` or as large as it is."""
    turns = quarter_turns(frame)
    width, height = size or (None, None)
    if turns % 2:
        width, height = height, width
    image = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(image, turns), np.uint8)


def _pictures(path: str | os.PathLike[str], start: float) -> Iterator[_Picture]:
    """The pictures from the one on screen at `start` on (and some before it), in the order they are shown."""
    for back in _SEEK_BACK_SECONDS if start > 0 else (None,):
        with open_media(path) as container:
            stream = video_stream(container)
            if stream is None:
                raise MediaError("no_video_stream", f"{len(container.streams.audio)} audio streams, no video")
            if stream.codec_context is None:
                raise MediaError("decode_failed", "no decoder for the video codec")
            errors: list[str] = []
            found = _decode(container, stream, None if back is None else max(0.0, start - back), errors)
            first = next(found, None)
            if first is not None and (back is None or first.time - first.slack <= start):
                yield first
                yield from found
                return
    reason = "decode_failed" if errors else "no_samples"
    raise MediaError(reason, f"no picture; {len(errors)} errors" + "".join(f", the first: {e}" for e in errors[:1]))


def _decode(
    container: InputContainer, stream: VideoStream, seek: float | None, errors: list[str]
) -> Iterator[_Picture]:
    """All pictures from the key picture before `seek` on, without those that cannot be decoded."""
    info = describe(container)
    context = stream.codec_context
    context.thread_count = 1
    tick = float(stream.time_base or 0)
    usual = 1.0 / float(stream.average_rate) if stream.average_rate else 0.0
    if seek is not None:
        with suppress(FFmpegError):  # then it reads from where it is: the beginning
            container.seek(to_ticks(seek + info.zero, 1.0 / tick), stream=stream)
    clock = StreamClock(info.zero, info.duration)
    until: float | None = None
    packets = read_packets(container, [stream], errors.append)
    if seek is not None:
        # A transport stream is searched by its clock alone. What comes before a key picture may well be decoded, from
        # pictures that are not there.
        packets = dropwhile(lambda packet: not packet.is_keyframe, packets)
    for packet in chain(packets, [None]):
        try:
            for frame in context.decode(packet):
                raw = None if frame.pts is None else frame.pts * tick
                if until is None:  # the first one, wherever the seek led, is right by definition
                    until = 0.0 if raw is None else raw - info.zero
                time = clock.seconds(raw, until)
                until = time + (frame.duration * tick if frame.duration else usual)
                yield _Picture(time, until, min(tick / 2, _ROUNDING_SECONDS), frame)
        except FFmpegError as error:
            errors.append(one_line(error))
