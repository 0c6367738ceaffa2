"""Frame scores: a detector's values over a recording, on its own clock.

Thresholds change, scores don't: these arrays are cached once and every decision is replayed over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MAX_RATE = 25.0  # stored frames per second, at most
# whose lanes are decibels, hertz and counts; everybody else's are probabilities
PHYSICAL = frozenset({"level", "signal", "picture"})
DECIBELS = "_db"  # the end of the labels that are levels, beside the probabilities of one detector
ROW_SECONDS = 600.0  # of one row of the scores table
NO_TAG = -1  # in place of a class where nobody scored


@dataclass(frozen=True, eq=False)
class Tags:
    """The strongest classes of each stored tag frame, best first.

    `ids` int16 and `scores` float16 of shape (frames, k); frame i covers `hop` seconds from i * hop.
    """

    ids: NDArray[np.int16]
    scores: NDArray[np.float16]
    hop: float

    def __post_init__(self) -> None:
        if self.ids.shape != self.scores.shape or self.ids.ndim != 2:
            raise ValueError(f"tags: ids {self.ids.shape} and scores {self.scores.shape} must be (frames, k) alike")


def no_tags(frames: int, width: int, hop: float) -> Tags:
    """Tags of unscored frames, `width` per frame: NO_TAG and NaN."""
    return Tags(np.full((frames, width), NO_TAG, np.int16), np.full((frames, width), np.nan, np.float16), hop)


@dataclass(frozen=True, eq=False)
class Grid:
    """For each cell of a grid the frame whose centre is nearest, and whether that frame covers the cell's centre."""

    nearest: NDArray[np.intp] = field(repr=False)
    covered: NDArray[np.bool_] = field(repr=False)


@dataclass(frozen=True, eq=False)
class FrameScores:
    """Scores of shape (frames, labels), float16; NaN where unscored, never 0.

    Frame i covers [start + i * hop, start + i * hop + window) seconds on the recording's presentation clock.
    """

    start: float
    hop: float
    window: float
    labels: tuple[str, ...]
    values: NDArray[np.float16] = field(repr=False)
    tags: Tags | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.labels):
            raise ValueError(f"scores of shape {self.values.shape} for {len(self.labels)} labels")
        if not self.hop > 0 or not self.window > 0:
            raise ValueError(f"hop {self.hop} s and window {self.window} s must be above 0")

    def __len__(self) -> int:
        return len(self.values)

    def track(self, label: str) -> NDArray[np.float32]:
        """One label's scores, shape (frames,), float32. Raises KeyError for a label this detector has not."""
        if label not in self.labels:
            raise KeyError(f"no label {label!r} among {', '.join(self.labels)}")
        return self.values[:, self.labels.index(label)].astype(np.float32)

    def pooled(self, max_rate: float = MAX_RATE) -> FrameScores:
        """The same scores, max-pooled over whole frames to at most `max_rate` frames per second.

        A pooled frame covers the time of all its members, so its window grows.
        """
        factor = int(np.ceil(1.0 / (self.hop * max_rate) - 1e-9))
        if factor <= 1:
            return self
        return replace(
            self,
            hop=self.hop * factor,
            window=self.window + (factor - 1) * self.hop,
            values=pool_max(self.values, factor),
        )

    def grid(self, hop: float, count: int) -> Grid:
        """These frames on a common grid of `count` cells: cell i is [i * hop, (i + 1) * hop) seconds."""
        centres = (np.arange(count) + 0.5) * hop
        if not len(self):
            return Grid(np.zeros(count, np.intp), np.zeros(count, np.bool_))
        position = (centres - self.start - self.window / 2) / self.hop
        nearest = np.clip(np.floor(position + 0.5).astype(np.intp), 0, len(self) - 1)
        begin = self.start + nearest * self.hop
        covered = (centres >= begin - 1e-9) & (centres < begin + max(self.window, self.hop) + 1e-9)
        return Grid(nearest, covered)

    def on_grid(self, label: str, hop: float, count: int, grid: Grid | None = None) -> NDArray[np.float32]:
        """One track read at the centres of a common grid, shape (count,).

        Each cell takes the frame whose centre is nearest, and NaN where no frame covers the cell's centre. `grid`: that
        of `grid(hop, count)`, computed once for several labels.
        """
        track = self.track(label)
        if not len(track):
            return np.full(count, np.nan, np.float32)
        found = grid or self.grid(hop, count)
        return np.where(found.covered, track[found.nearest], np.float32(np.nan))


def pool_max(values: NDArray[np.float16], factor: int) -> NDArray[np.float16]:
    """Maximum over runs of `factor` frames of (frames, labels); NaN only where a whole run is NaN."""
    frames, labels = values.shape
    runs = -(-frames // factor)
    padded = np.full((runs * factor, labels), np.nan, values.dtype)
    padded[:frames] = values
    pooled: NDArray[np.float16] = np.fmax.reduce(padded.reshape(runs, factor, labels), axis=1)
    return pooled


def concatenate(parts: Sequence[FrameScores]) -> FrameScores:
    """Consecutive parts of one detector's scores as one. Raises ValueError when their clocks do not meet."""
    if not parts:
        raise ValueError("no scores to join")
    first, frames = parts[0], 0
    for part in parts:
        expected = first.start + frames * first.hop
        if part.labels != first.labels or part.hop != first.hop or abs(part.start - expected) > first.hop / 2:
            raise ValueError(f"scores starting at {part.start:.3f} s do not continue those ending at {expected:.3f} s")
        frames += len(part)
    tags = [part.tags for part in parts if part.tags is not None]
    joined = (
        Tags(np.concatenate([t.ids for t in tags]), np.concatenate([t.scores for t in tags]), tags[0].hop)
        if tags
        else None
    )
    return replace(first, values=np.concatenate([part.values for part in parts]), tags=joined)


def merged(known: FrameScores, new: FrameScores) -> FrameScores:
    """Two results of one detector over one recording: `new` where it has scores, else `known`."""
    # how many frames an end gives that nobody heard is a guess: whoever heard it knows
    told = [len(one) for one in (new, known) if len(one) and not np.isnan(one.values[-1]).all()]
    count = told[0] if told else max(len(known), len(new))
    ours, theirs = _values(new, count), _values(known, count)
    asked = np.asarray(~np.isnan(ours).all(axis=1))
    tags = _merged_tags(known.tags, new.tags, asked)
    return replace(known, values=np.where(asked[:, None], ours, theirs), tags=tags)


def _values(scores: FrameScores, count: int) -> NDArray[np.float16]:
    padded = np.full((count, len(scores.labels)), np.nan, np.float16)
    padded[: len(scores)] = scores.values[:count]
    return padded


def _merged_tags(known: Tags | None, new: Tags | None, asked: NDArray[np.bool_]) -> Tags | None:
    if known is None or new is None:
        return new or known
    count, width = len(asked), known.ids.shape[1]
    both = no_tags(count, width, known.hop)
    for tags, rows in ((known, ~asked), (new, asked)):
        shared = min(count, len(tags.ids))
        chosen = np.flatnonzero(rows[:shared])
        both.ids[chosen], both.scores[chosen] = tags.ids[chosen], tags.scores[chosen]
    return both


def to_rows(
    scores: FrameScores, *, recording_id: str, detector: str, version: str, key: str
) -> Iterator[dict[str, object]]:
    """The scores as rows of the scores table, ROW_SECONDS each, for `store.write_shard`.

    Raises ValueError for tags that are not one set a frame.
    """
    if scores.tags is not None and len(scores.tags.ids) != len(scores):
        raise ValueError(f"{len(scores.tags.ids)} frames of tags for {len(scores)} frames of scores")
    step = max(1, round(ROW_SECONDS / scores.hop))
    for first in range(0, max(len(scores), 1), step):
        part = slice(first, first + step)
        row: dict[str, object] = {
            "recording_id": recording_id,
            "detector": detector,
            "version": version,
            "key": key,
            "start": scores.start + first * scores.hop,
            "hop": scores.hop,
            "window": scores.window,
            "labels": list(scores.labels),
            "frames": len(scores.values[part]),
            "values": scores.values[part],
        }
        if scores.tags is not None:
            row |= {
                "tag_ids": scores.tags.ids[part],
                "tag_scores": scores.tags.scores[part],
                "tags_per_frame": scores.tags.ids.shape[1],
                "tag_hop": scores.tags.hop,
            }
        yield row


WITHOUT_TAGS = ("start", "hop", "window", "labels", "frames", "values")
"""The columns that `from_rows` needs for scores without tags."""


def from_rows(table: pa.Table) -> FrameScores:
    """The scores of a table's rows, as `store.read_shard` gives them. Raises ValueError when the rows disagree.

    Rows of the columns WITHOUT_TAGS give scores without tags.
    """
    parts = []
    for number in range(table.num_rows):
        row = table.slice(number, 1)
        lists = [name for name in ("values", "tag_ids", "tag_scores") if name in row.column_names]
        plain = row.drop_columns(lists).to_pylist()[0]
        tags = None
        if plain.get("tags_per_frame"):
            width = plain["tags_per_frame"]
            ids, strengths = _flat(row, "tag_ids"), _flat(row, "tag_scores")
            tags = Tags(ids.reshape(-1, width), strengths.reshape(-1, width), plain["tag_hop"])
        labels = tuple(plain["labels"])
        values = _flat(row, "values").reshape(plain["frames"], len(labels))
        parts.append(FrameScores(plain["start"], plain["hop"], plain["window"], labels, values, tags))
    return concatenate(parts)


def _flat(table: pa.Table, column: str) -> NDArray[Any]:
    return np.asarray(table[column].combine_chunks().flatten().to_numpy(zero_copy_only=False))
