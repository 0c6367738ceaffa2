"""The features of one cut, checked before they are written to disk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .pooling import RunningMean
from .spec import ANY_LENGTH, CacheError, CacheSpec, Shape

_SLACK = 0.002  # seconds: a cut lies on whole milliseconds, the start its clips were counted from may not


@dataclass(frozen=True)
class CutFeatures:
    """The features of the cut [start, end), in seconds of the recording.

    `clip_starts` (n,) in seconds of the recording. `clips`: visual, sync, mean, std as (n, T, D); `whole`: visual_all
    and sync_all as (T, D). Cuts without video have neither visual nor sync.
    """

    cut_id: str
    recording_id: str
    start: float
    end: float
    has_video: bool
    clip_starts: NDArray[np.float64]
    clips: Mapping[str, NDArray[Any]]
    whole: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class StoredCut:
    """A checked cut in the cache's dtype. `arrays` has the columns of its clips and its own columns; missing ones are
    left out."""

    cut_id: str
    recording_id: str
    start: float
    end: float
    has_video: bool
    clip_starts: NDArray[np.float64]
    arrays: Mapping[str, NDArray[Any]]

    @property
    def clip_bytes(self) -> int:
        """Bytes of its clips in a part."""
        return sum(array.nbytes for name, array in self.arrays.items() if name in _CLIP_COLUMNS)

    @property
    def cut_bytes(self) -> int:
        """Bytes of its own row in a part."""
        return sum(array.nbytes for name, array in self.arrays.items() if name not in _CLIP_COLUMNS)


_CLIP_COLUMNS = ("visual", "sync", "mean", "std")


def checked(spec: CacheSpec, cut: CutFeatures) -> StoredCut:
    """The cut as it will be stored, with its pooled arrays. Raises CacheError naming cut, stream and row."""
    where = f"cut {cut.cut_id}"
    starts = np.asarray(cut.clip_starts, np.float64)
    _check_clock(spec, cut, starts, where)
    arrays: dict[str, NDArray[Any]] = {}
    for given, shapes, count in (
        (cut.clips, spec.clip_shapes(), (len(starts),)),
        (cut.whole, spec.whole_shapes(), ()),
    ):
        wanted = {name: shape for name, shape in shapes.items() if cut.has_video or name in ("mean", "std")}
        for name in given:
            if name not in wanted:
                why = "belongs to cuts with video" if name in shapes else f"is not one of {', '.join(shapes) or 'none'}"
                raise CacheError(f"{where}: stream {name} {why}")
        for name, shape in wanted.items():
            if name not in given:
                raise CacheError(f"{where}: stream {name} is missing")
            arrays[name] = _stored(given[name], (*count, *shape), spec, f"{where}: stream {name}")
    # Of the values before rounding, summed in float64: what the rounded mean is nearest to.
    if "visual_all" in arrays:
        arrays["visual_mean"] = _mean(cut.whole["visual_all"], spec)
    if "sync" in arrays:
        arrays["sync_mean"] = _mean(cut.clips["sync"], spec)
    return StoredCut(cut.cut_id, cut.recording_id, cut.start, cut.end, cut.has_video, starts, arrays)


def _mean(values: NDArray[Any], spec: CacheSpec) -> NDArray[Any]:
    return RunningMean().push(np.asarray(values)).mean().astype(spec.numpy_dtype)


def checked_text(spec: CacheSpec, text_id: str, values: NDArray[Any]) -> NDArray[Any]:
    """A caption's array as it will be stored. Raises CacheError naming the text and the row."""
    if spec.text is None:
        raise CacheError(f"text {text_id}: this cache lacks the stream text")
    return _stored(values, spec.text.shape, spec, f"text {text_id}: stream text")


def not_finite(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Mask of NaN and infinite values: all bits of the exponent are set."""
    if array.dtype.itemsize == 2:
        return np.asarray(np.bitwise_and(array.view(np.uint16), np.uint16(0x7C00)) == 0x7C00)
    return np.asarray(np.bitwise_and(array.view(np.uint32), np.uint32(0x7F800000)) == 0x7F800000)


def _check_clock(spec: CacheSpec, cut: CutFeatures, starts: NDArray[np.float64], where: str) -> None:
    if not (math.isfinite(cut.start) and math.isfinite(cut.end) and cut.start < cut.end):
        raise CacheError(f"{where}: from {cut.start} to {cut.end} s; the end must come after the start")
    if starts.ndim != 1 or not len(starts):
        raise CacheError(f"{where}: clip_starts of shape {starts.shape}; at least one clip is needed")
    for row, start in enumerate(starts.tolist()):
        end = start + spec.clip_seconds
        if not (cut.start - _SLACK <= start and end <= cut.end + _SLACK):
            span = f"the cut goes from {cut.start:.3f} to {cut.end:.3f} s"
            raise CacheError(f"{where}: clip {row} goes from {start:.3f} to {end:.3f} s, {span}")
        if row and start <= starts[row - 1]:
            raise CacheError(f"{where}: clip {row} starts at {start:.3f} s, not after clip {row - 1}")


def _stored(values: NDArray[Any], shape: Shape, spec: CacheSpec, where: str) -> NDArray[Any]:
    """The values in the cache's dtype. Raises CacheError for another shape, NaN, infinite and too large values."""
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.floating):
        raise CacheError(f"{where}: values of type {array.dtype}, must be floats")
    wanted = tuple(got if size == ANY_LENGTH else size for size, got in zip(shape, array.shape, strict=False))
    if array.ndim != len(shape) or array.shape != wanted or not array.size:
        raise CacheError(f"{where}: shape {_sizes(array.shape)}, must be {_sizes(shape)}")
    with np.errstate(over="ignore"):  # reported below, with its position
        stored = np.ascontiguousarray(array, spec.numpy_dtype)
    for row, value in _first_fault(array, stored):
        limit = f", beyond {spec.dtype}" if math.isfinite(value) else ", not a finite number"
        raise CacheError(f"{where}, row {row}: {value:g}{limit}")
    return stored


def _first_fault(array: NDArray[Any], stored: NDArray[Any]) -> Iterator[tuple[int, float]]:
    """Row and value of the first number that the cache's dtype cannot represent."""
    faults = not_finite(stored)
    if faults.any():
        place = np.unravel_index(int(faults.argmax()), faults.shape)
        yield int(place[0]), float(array[place])


def _sizes(shape: Shape) -> str:
    return "(" + ", ".join("any" if size == ANY_LENGTH else str(size) for size in shape) + ")"
