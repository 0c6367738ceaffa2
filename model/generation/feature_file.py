"""Vectors on disk: written as they come, read where they are wanted, so that memory does not grow with a film."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from ..errors import ModelError

_BYTES = 4


class FeatureFile:
    """A file of float32 vectors (T, `dimension`), added to until `close`."""

    def __init__(self, path: Path, dimension: int) -> None:
        self.dimension = dimension
        self.count = 0
        self._path = path
        self._file: IO[bytes] | None = path.open("xb")

    def add(self, vectors: Tensor) -> None:
        """Append (n, dimension). Raises ModelError for NaN and infinite values."""
        assert self._file is not None, "it is closed"
        values = vectors.detach().to("cpu", torch.float32).contiguous()
        if values.ndim != 2 or values.shape[1] != self.dimension:
            raise ValueError(f"{self._path.name}: vectors {tuple(values.shape)}, not (n, {self.dimension})")
        if not bool(torch.isfinite(values).all()):
            raise ModelError(f"{self._path.stem}: the encoder gave NaN or infinite values after {self.count} vectors")
        self._file.write(values.numpy().tobytes())
        self.count += len(values)

    def close(self) -> None:
        """Nothing more comes."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self, first: int, count: int) -> Tensor:
        """Vectors [first, first + count), (count, dimension). Raises ValueError where there are not so many."""
        if not 0 <= first <= first + count <= self.count:
            raise ValueError(f"{self._path.name}: vectors {first} to {first + count} of {self.count}")
        # not mapped: pages of a mapped file count as memory of ours until somebody else wants it
        values = np.fromfile(self._path, np.float32, count * self.dimension, offset=first * self.dimension * _BYTES)
        return torch.from_numpy(values).view(count, self.dimension)

    def mapped(self) -> Tensor:
        """All of it, (T, dimension), mapped into memory."""
        shape = (self.count, self.dimension)
        return torch.from_numpy(np.memmap(self._path, np.float32, "c", shape=shape))
