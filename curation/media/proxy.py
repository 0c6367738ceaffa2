"""Writes small copies of a recording's segment for annotators: an M4A and an MP4, cut to the sample."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import tee
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from manifests.time import Segment

from .audio import mixed_span
from .container import MediaError
from .encode import Encoded, beside, encode_audio, encode_video, interleave, muxer
from .frames import pictures_at, quarter_turns
from .probe import AudioTrack, probe

# Of every proxy: no frame of an ordinary recording is left out, and a player can rely on the rate.
PROXY_FPS = 30
PROXY_HEIGHT = 360
_MAX_WIDTH = 1280  # of a panorama
_MONO_BITRATE, _STEREO_BITRATE = 64_000, 128_000
# FFmpeg's usual search takes two to three times as long and is no nearer to the source at these rates.
_AAC = {"aac_coder": "fast"}
_X264 = {
    "preset": "ultrafast",
    "crf": "28",
    "g": str(2 * PROXY_FPS),  # a keyframe every 2 s: a player seeks at once
    "bf": "0",
    "maxrate": "1000000",  # three minutes of the busiest video with audio are 24 MB, over any connection
    "bufsize": "2000000",
    "threads": "1",  # the workers run in parallel, and the bytes must not depend on the number of cores
}
_RGB = 0  # a colour space's number
# Share of a channel on (left, right); those above and those off the centre count as what they are named after.
_HALF = math.sqrt(0.5)
_SIDES = {
    **dict.fromkeys(("FL", "L", "DL"), (1.0, 0.0)),
    **dict.fromkeys(("FR", "R", "DR"), (0.0, 1.0)),
    **dict.fromkeys(("BL", "SL", "WL"), (_HALF, 0.0)),
    **dict.fromkeys(("BR", "SR", "WR"), (0.0, _HALF)),
    **dict.fromkeys(("F", "B", "", "LFE", "LFE2"), (_HALF, _HALF)),
}
_FASTSTART = {"movflags": "+faststart"}  # the index first: playback starts before the download is complete


def write_proxies(
    path: str | os.PathLike[str],
    segment: Segment,
    sound: str | os.PathLike[str],
    video: str | os.PathLike[str] | None = None,
    *,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write the audio in `segment` to `sound` (.m4a) and, on request, its video with audio to `video` (.mp4).

    Sample 0 of either file, as a player decodes it, is sample round(start * rate) of the recording. Both have at most
    two channels, mixed from more: the mean of all would lack a voice in opposite phase. `video` has frames
    of at most 360 lines, upright, with square pixels, `PROXY_FPS` per second. The rate is the recording's if that is a
    multiple of 11,025 Hz or of 48,000 Hz in 44,100 or 48,000 Hz, else 48,000 Hz.

    Both last as long as `segment`: gaps, and time after the end of the audio, are silent; before the first frame the
    first is shown, after the last one the last. The audio is decoded once, and nothing long before `segment`. Equal
    input gives equal bytes. The files appear under their names when both are complete. `progress` is called with the
    share done, 0 to 1.

    Raises MediaError without audio, without audio in `segment` if no `video` is requested, or without frames.
    """
    info = probe(path)
    if info.audio is None:
        raise MediaError("no_audio_stream", "a proxy needs audio")
    if video is not None and info.video is None:
        raise MediaError("no_video_stream", "a video proxy needs video")
    rate = 44_100 if info.audio.sample_rate % 11_025 == 0 else 48_000
    mixes = _mixes(path, info.audio, segment, rate, silent=video is not None)

    def report(seconds: float) -> None:
        if progress is not None:
            progress(min(1.0, seconds / segment.duration))

    with ExitStack() as files:
        targets = [files.enter_context(beside(Path(target))) for target in (sound, video) if target is not None]
        outputs = [files.enter_context(muxer(f"file:{target}", options=_FASTSTART)) for target in targets]
        encoders: list[Encoded] = []
        if video is not None and info.video is not None:
            mixes, video_mixes = tee(mixes)
            pictures = _pictures(path, segment, info.video.pixel_aspect)
            encoders.append(encode_video(outputs[1], pictures, Fraction(PROXY_FPS), "libx264", _X264))
            encoders.append(encode_audio(outputs[1], video_mixes, rate, "aac", _STEREO_BITRATE, _AAC))
        bitrate = _MONO_BITRATE if info.audio.channels == 1 else _STEREO_BITRATE
        encoders.append(encode_audio(outputs[0], mixes, rate, "aac", bitrate, _AAC))
        interleave(encoders, report)


def _mixes(
    path: str | os.PathLike[str], track: AudioTrack, segment: Segment, rate: int, silent: bool
) -> Iterator[NDArray[np.float32]]:
    """The audio in `segment` at `rate` Hz, float32 (rows, n): left and right, or one row that is both.

    As long as `segment`, rounded up to a sample. Missing audio is silence if `silent`, else MediaError.
    """
    left = math.ceil(round(segment.duration * rate, 6))
    rows = 1
    try:
        for piece in mixed_span(path, segment.start, segment.end, rate, lambda count: _mix(count, track.layout)):
            rows, left = len(piece), left - piece.shape[1]
            yield piece
    except MediaError as error:
        if error.reason != "no_samples" or not silent:
            raise
    for begin in range(0, left, rate):
        yield np.zeros((rows, min(rate, left - begin)), np.float32)


def _mix(channels: int, layout: str) -> NDArray[np.float32]:
    """Weights (rows, channels) that make left and right of the channels; of one channel, itself.

    Centre and rear channels go at -3 dB to their side or to both (ITU-R BS.775), the bass channel too: no channel may
    be missing. Unnamed channels go to both sides.
    """
    if channels <= 2:
        return np.eye(channels, dtype=np.float32)
    named = [channel.name for channel in av.AudioLayout(layout).channels] if layout else []
    sides = np.array([_SIDES.get(name.removeprefix("T").removesuffix("C"), (1.0, 1.0)) for name in named]).T
    if sides.shape != (2, channels) or not sides.any(axis=1).all():
        sides = np.ones((2, channels))  # not as the header claims
    return np.asarray(sides / sides.sum(axis=1, keepdims=True), np.float32)


def _pictures(path: str | os.PathLike[str], segment: Segment, pixel_aspect: float) -> Iterator[av.VideoFrame]:
    """Yield the frame displayed at every 1 / PROXY_FPS of `segment`, ready to encode; the next invalidates it."""
    scaler = VideoReformatter()  # one for all: making its tables takes longer than scaling a frame
    size: tuple[int, int] | None = None
    for frame, times in pictures_at(path, PROXY_FPS, segment.start, segment.end):
        turns = quarter_turns(frame)
        size = size or proxy_size(frame.width, frame.height, pixel_aspect, turns)
        width, height = size if turns % 2 == 0 else size[::-1]
        small = scaler.reformat(
            frame,
            width=width,
            height=height,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601 if frame.colorspace == _RGB else None,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        shown = _turned(small, turns)
        shown.pict_type = 0  # else the encoder makes a keyframe wherever the recording has one
        yield from (shown for _ in times)


def proxy_size(width: int, height: int, pixel_aspect: float, turns: int) -> tuple[int, int]:
    """(width, height) of the proxy of a frame with these pixels that is turned by 90 degrees `turns` times."""
    shown_width, shown_height = width * pixel_aspect, float(height)
    if turns % 2:
        shown_width, shown_height = shown_height, shown_width
    scale = min(1.0, PROXY_HEIGHT / shown_height, _MAX_WIDTH / shown_width)
    even_width, even_height = (max(2, 2 * round(side * scale / 2)) for side in (shown_width, shown_height))
    return even_width, even_height


def _turned(frame: av.VideoFrame, turns: int) -> av.VideoFrame:
    """A yuv420p frame turned left by 90 degrees `turns` times."""
    if turns == 0:
        return frame
    flat, width, height = frame.to_ndarray().reshape(-1), frame.width, frame.height
    luma, *chroma = np.split(flat, [width * height, width * height * 5 // 4])
    planes = [luma.reshape(height, width), *(plane.reshape(height // 2, width // 2) for plane in chroma)]
    turned = [np.rot90(plane, turns) for plane in planes]
    joined = np.concatenate([plane.reshape(-1) for plane in turned]).reshape(-1, turned[0].shape[1])
    new = av.VideoFrame.from_ndarray(joined, format="yuv420p")
    new.colorspace, new.color_range = frame.colorspace, frame.color_range
    return new
