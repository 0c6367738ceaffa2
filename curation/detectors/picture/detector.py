"""Scores motion in a video: still segments and scene cuts. Only video beside accepted audio is decoded.

Scene cuts come from PySceneDetect's AdaptiveDetector, fed with frames decoded here instead of through its PyAV backend:
that backend takes the first video stream and its own zero, numbers frames instead of timing them, and would decode
everything a second time. So there is one decode and one clock for the video's scores, its fingerprints and the audio.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from manifests.scores import FrameScores
from manifests.time import Segment, Timeline, to_ticks

from ...backends.weights import ModelUnavailable
from ...media import frames
from ..base import BlockPlan, DetectorSpec
from .motion import motion

if TYPE_CHECKING:
    from scenedetect import AdaptiveDetector, FrameTimecode

FPS = 8
SIZE = (160, 90)  # width and height of the frames, for any shape of video
HOP = 1.0
LABELS = ("still", "cut")
MAX_CUTS = FPS  # per second
SCENE_SECONDS = 0.5  # the shortest scene


class FrameConsumer(Protocol):
    """A second consumer of the decoded frames."""

    def push(self, time: float, image: NDArray[np.uint8]) -> None:
        """Process the frame displayed at `time` seconds: RGB, (height, width, 3)."""
        ...


def spec() -> DetectorSpec:
    """The detector's identity. Raises ModelUnavailable without PySceneDetect."""
    return DetectorSpec("picture", f"1-scenedetect{_library()}", None, LABELS, HOP, HOP, BlockPlan(core=0))


@cache
def _library() -> str:
    for package in ("scenedetect-headless", "scenedetect"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    raise ModelUnavailable("PySceneDetect is not installed: pip install scenedetect-headless")


def analyze_video(
    path: str | os.PathLike[str],
    spans: Timeline,
    duration: float,
    watchers: Sequence[FrameConsumer] = (),
    progress: Callable[[float], None] | None = None,
) -> FrameScores:
    """Score a recording of `duration` seconds, one frame per second; NaN outside `spans`, widened to whole seconds.

    `still`: share of the second in which the video is still, apart from codec noise: 1 for a frozen frame and for
    slides, however they follow each other. `cut`: scene cuts that begin in the second, including fades between still
    frames. `watchers` get each frame, uint8 (90, 160, 3) at multiples of 1 / FPS seconds, in order. `progress` is
    called with the seconds analyzed so far. Raises MediaError without video.
    """
    count = int(np.ceil(duration - 1e-9))
    values = np.full((count, len(LABELS)), np.nan, np.float16)
    done = 0.0
    for span in _whole_seconds(spans, count):
        analysis = _SpanAnalysis(span)
        for shown in frames(path, FPS, size=SIZE, start=span.start, end=span.end):
            for watcher in watchers:
                watcher.push(shown.time, shown.image)
            analysis.push(shown.image)
            if progress:
                progress(done + shown.time - span.start)
        values[int(span.start) : int(span.end)] = analysis.scores()
        done += span.duration
    return FrameScores(0.0, HOP, HOP, LABELS, values)


def analyzed_time(scores: FrameScores) -> Timeline:
    """The analyzed seconds."""
    return Timeline.from_mask(np.asarray(~np.isnan(scores.values).any(axis=1)), scores.hop, scores.start)


def _whole_seconds(spans: Timeline, count: int) -> Timeline:
    whole = [(int(np.floor(s.start + 1e-9)), int(np.ceil(s.end - 1e-9))) for s in spans]
    return Timeline(Segment(max(0, a), min(b, count)) for a, b in whole if max(0, a) < min(b, count))


class _SpanAnalysis:
    """Collects the data for the scores of one span, frame by frame."""

    def __init__(self, span: Segment) -> None:
        self._seconds = round(span.duration)
        self._before: NDArray[np.int16] | None = None  # luminance
        self._small: list[NDArray[np.float32]] = []
        self._steps: list[float] = []
        self._cuts: list[int] = []
        self._detector, self._timecode = _detector()

    def push(self, image: NDArray[np.uint8]) -> None:
        """Process the next frame."""
        number = len(self._small)
        # it compares hue, saturation and lightness and expects OpenCV's order of red and blue
        new_cuts = self._detector.process_frame(self._timecode(number), np.ascontiguousarray(image[:, :, ::-1]))
        self._cuts += [time.frame_num for time in new_cuts]
        grey = luminance(image)
        self._steps.append(0.0 if self._before is None else _change(grey, self._before))
        self._small.append(_blocks(grey).astype(np.float32))
        self._before = grey

    def scores(self) -> NDArray[np.float32]:
        """(seconds, labels): share of stillness, number of cuts."""
        moving, fades = motion(np.array(self._steps), np.array(self._small), FPS)
        count = self._seconds * FPS
        cuts = np.zeros(count)
        cuts[[at for at in self._cuts if at < count]] = 1
        for first, end in fades:  # unless the detector found a cut in it
            if not cuts[max(0, first - 1) : end + 1].any():
                cuts[first] = 1
        still = 1.0 - moving[:count].reshape(self._seconds, FPS).mean(axis=1)
        return np.stack([still, np.minimum(cuts.reshape(self._seconds, FPS).sum(axis=1), MAX_CUTS)], axis=1)


def _detector() -> tuple[AdaptiveDetector, Callable[[int], FrameTimecode]]:
    """PySceneDetect's detector and the function from frame numbers to its times."""
    try:
        from scenedetect import AdaptiveDetector, FrameTimecode
    except ImportError as error:
        raise ModelUnavailable("PySceneDetect is not installed: pip install scenedetect-headless") from error
    detector: Any = AdaptiveDetector(min_scene_len=to_ticks(SCENE_SECONDS, FPS))
    return detector, lambda number: FrameTimecode(number, fps=float(FPS))


def luminance(image: NDArray[np.uint8]) -> NDArray[np.int16]:
    """(red + 2 green + blue) / 4 of (height, width, 3)."""
    wide = image.astype(np.int16)
    return (wide[:, :, 0] + 2 * wide[:, :, 1] + wide[:, :, 2]) >> 2


def _blocks(grey: NDArray[np.int16]) -> NDArray[np.float64]:
    """Means over blocks of 10 x 10, (9, 16)."""
    return np.asarray(grey.reshape(9, 10, 16, 10).mean(axis=(1, 3)))


def _change(now: NDArray[np.int16], before: NDArray[np.int16]) -> float:
    """Mean absolute difference in the block that changed most, 0 to 255: motion is often small, noise is not local."""
    return float(_blocks(np.abs(now - before)).max())
