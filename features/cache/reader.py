"""Read a cache: clips by number, as tensors, copied straight out of the mapped parts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from manifests.store import Corpus

from .index import read_index
from .mapped import Part, fixed
from .spec import CacheError, Shape, read_spec

Indices = Sequence[int] | NDArray[np.integer[Any]] | Tensor


class FeatureCache:
    """The clips of a cache's present cuts, numbered from 0: cut after cut in the index's order, clips in time order.

    Raises CacheError, naming the file, if the folder is not a cache, is of a newer format, or a part is truncated. The
    index is read once; a pickled cache (for the workers of a DataLoader) includes it, and opens the parts again.
    """

    def __init__(self, path: Path | str) -> None:
        path = Path(path)
        read_spec(path)  # the clearer error for a folder that is not a cache
        index = read_index(path)
        self._open(path, index.filter(pc.equal(index["state"], "present")).combine_chunks())

    @classmethod
    def of(cls, corpus: Corpus, name: str | None = None) -> FeatureCache:
        """The cache `name` of a corpus; without a name the only one, or that of the active recipe's encoders.

        Raises CacheError if there is no such cache, or several to choose from: the message lists their names.
        """
        from .of_corpus import cache_folder

        return cls(cache_folder(corpus, name))

    def _open(self, path: Path, cuts: pa.Table) -> None:
        self.path, self.spec, self.cuts = path, read_spec(path), cuts
        self._dtype = self.spec.numpy_dtype
        self._torch_dtype = torch.float16 if self.spec.dtype == "float16" else torch.float32
        counts = cuts["clips"].to_numpy().astype(np.int64)
        starts = pc.list_value_length(cuts["clip_starts"]).to_numpy()
        wrong = np.flatnonzero(counts != starts)
        if len(wrong):  # counts are compared before arrays of their sizes are made
            row = int(wrong[0])
            raise CacheError(f"{path / 'index.parquet'}: row {row}: {starts[row]} clip starts for {counts[row]} clips")
        self._firsts = np.concatenate([[0], np.cumsum(counts)])
        self._cut_of = np.repeat(np.arange(len(cuts), dtype=np.int64), counts)
        self._clip = np.arange(self._firsts[-1]) - self._firsts[self._cut_of]
        self._start = pc.list_flatten(cuts["clip_starts"]).to_numpy()
        self._has_video = np.asarray(cuts["has_video"])
        parts = cuts["part"].to_numpy()[self._cut_of]
        # Part and row of the arrays of every clip.
        self._rows = {
            "clips": (parts, cuts["row"].to_numpy()[self._cut_of] + self._clip),
            "cuts": (parts, cuts["cut_row"].to_numpy()[self._cut_of]),
            "texts": (cuts["text_part"].to_numpy()[self._cut_of], cuts["text_row"].to_numpy()[self._cut_of]),
        }
        self._shapes: dict[str, dict[str, Shape]] = {
            "clips": self.spec.clip_shapes(),
            "cuts": {**self.spec.cut_shapes(), **self.spec.whole_shapes()},
            "texts": self.spec.text_shapes(),
        }
        self._folder_of = {
            column: folder for folder, shapes in self._shapes.items() for column in shapes if fixed(shapes[column])
        }
        self._parts: dict[tuple[str, int], Part] = {}
        # The footers of cuts are long, one row group each, and many readers never use them.
        for folder in ("clips", "texts") if self.spec.text is not None else ("clips",):
            for number in np.unique(self._rows[folder][0]).tolist():
                self._part(folder, number)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "cuts": self.cuts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._open(state["path"], state["cuts"])

    def __len__(self) -> int:
        """Number of clips."""
        return len(self._clip)

    @property
    def columns(self) -> tuple[str, ...]:
        """The arrays of a clip: its own, its cut's and its caption's."""
        return tuple(self._folder_of)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One clip, as `take` without the first axis."""
        return {name: values[0] for name, values in self.take([index]).items()}

    def take(self, indices: Indices, columns: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Clips by number, stacked: visual, sync, mean, std, text, sync_mean (B, T, D), visual_mean (B, D).

        Also `clip` (its number in the cut) and `cut` (a row of `cuts`), int64; `start`, float64, seconds of the
        recording; `has_video`, bool: the video vectors of cuts without video are zeros. `columns` selects arrays.
        Raises IndexError beyond the last clip, CacheError naming file and row if an array cannot be read.
        """
        picked = self._picked(indices)
        cuts = self._cut_of[picked]
        batch = {name: self._gather(name, picked) for name in (self.columns if columns is None else columns)}
        return batch | {
            "clip": torch.from_numpy(self._clip[picked]),
            "cut": torch.from_numpy(cuts),
            "start": torch.from_numpy(self._start[picked]),
            "has_video": torch.from_numpy(self._has_video[cuts]),
        }

    def clips_of(self, cut: int | str) -> range:
        """The numbers of a cut's clips; `cut` is its row in `cuts` or its id."""
        row = self._cut_row(cut)
        return range(int(self._firsts[row]), int(self._firsts[row + 1]))

    def whole(self, cut: int | str) -> dict[str, Tensor]:
        """The whole sequences of a cut, visual_all and sync_all, each (T, D); T is 0 for cuts without video."""
        row = self._cut_row(cut)
        part = self._part("cuts", self.cuts["part"][row].as_py())
        at = self.cuts["cut_row"][row].as_py()
        return {name: torch.from_numpy(part.whole(name, at)) for name in self.spec.whole_shapes()}

    def _picked(self, indices: Indices) -> NDArray[np.int64]:
        given = indices.numpy() if isinstance(indices, Tensor) else indices
        picked = np.array(given, np.int64).reshape(-1)
        beyond = (picked < -len(self)) | (picked >= len(self))
        if beyond.any():
            raise IndexError(f"{self.path}: clip {picked[beyond][0]} of {len(self)}")
        return picked

    def _cut_row(self, cut: int | str) -> int:
        row = pc.index(self.cuts["cut_id"], cut).as_py() if isinstance(cut, str) else cut
        if not 0 <= row < len(self.cuts):
            raise IndexError(f"{self.path}: no present cut {cut} among {len(self.cuts)}")
        return int(row)

    def _gather(self, name: str, picked: NDArray[np.int64]) -> Tensor:
        folder = self._folder_of.get(name)
        if folder is None:
            raise CacheError(f"{self.path}: no array {name}; there are {', '.join(self.columns)}")
        shape = self._shapes[folder][name]
        result = torch.empty((len(picked), *shape), dtype=self._torch_dtype)
        size = math.prod(shape) * self._dtype.itemsize
        # Bytes: values in the file may begin at odd addresses.
        out = result.view(-1).view(torch.uint8).numpy().reshape(len(picked), size)
        numbers, rows = (values[picked].tolist() for values in self._rows[folder])
        for target, number, row in zip(out, numbers, rows, strict=True):
            part = self._parts.get((folder, number)) or self._part(folder, number)
            place = part.places[name][row]
            if place >= 0:
                target[:] = part.data[place : place + size]
            else:
                part.fill(name, row, target)
        return result

    def _part(self, folder: str, number: int) -> Part:
        part = self._parts.get((folder, number))
        if part is None:
            path = self.path / folder / f"part-{number:05d}.parquet"
            part = Part(path, self._shapes[folder], self._dtype)
            held, rows = self._rows[folder]
            if (named := rows[held == number]).size and (named.min() < 0 or named.max() >= part.rows):
                raise CacheError(f"{path}: fewer rows than the index refers to")
            self._parts[folder, number] = part
        return part
