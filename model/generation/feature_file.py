"""Feature vectors on disk: appended as they are encoded and read where they are needed, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.cache.spec import DType

from ..errors import ModelError

_BYTES = 4
_BLOCK = 1024  # vectors in memory at once


class FeatureFile:
    """A file of vectors (T, `dimension`), appended to until `close`, and read rounded to `dtype`.

    The file has the encoder's float32; a feature cache has its vectors in `dtype`, and its means of the float32 ones.
    """

    def __init__(self, path: Path, dimension: int, dtype: DType = "float32") -> None:
        self.dimension = dimension
        self.count = 0
        self._path, self._dtype = path, dtype
        self._torch_dtype = torch.float16 if dtype == "float16" else torch.float32
        self._file: IO[bytes] | None = path.open("xb")

    def add(self, vectors: Tensor) -> None:
        """Append (n, dimension). Raises ModelError for NaN, infinite values and values beyond `dtype`."""
        assert self._file is not None, "the file is closed"
        values = vectors.detach().to("cpu", torch.float32).contiguous()
        if values.ndim != 2 or values.shape[1] != self.dimension:
            raise ValueError(f"{self._path.name}: vectors {tuple(values.shape)}, not (n, {self.dimension})")
        if not bool(torch.isfinite(values).all()):
            raise ModelError(f"{self._path.stem}: the encoder gave NaN or infinite values after {self.count} vectors")
        if not bool(torch.isfinite(values.to(self._torch_dtype)).all()):
            raise ModelError(f"{self._path.stem}: the encoder gave values beyond {self._dtype}")
        self._file.write(values.numpy().tobytes())
        self.count += len(values)

    def close(self) -> None:
        """End the file; vectors can be read from now on."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self, first: int, count: int) -> Tensor:
        """Vectors [first, first + count), float32 (count, dimension), rounded. Raises ValueError beyond the last."""
        return torch.from_numpy(self.exact(first, count)).to(self._torch_dtype).float()

    def exact(self, first: int, count: int) -> NDArray[np.float32]:
        """As `read`, not rounded."""
        if not 0 <= first <= first + count <= self.count:
            raise ValueError(f"{self._path.name}: vectors {first} to {first + count} of {self.count}")
        # not mapped: pages of a mapped file count as memory of ours until another process needs it
        values = np.fromfile(self._path, np.float32, count * self.dimension, offset=first * self.dimension * _BYTES)
        return values.reshape(count, self.dimension)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """All vectors in order, not rounded, in blocks (n, dimension)."""
        for first in range(0, self.count, _BLOCK):
            yield self.exact(first, min(_BLOCK, self.count - first))

    def mapped(self) -> Tensor:
        """All vectors in `dtype`, (T, dimension), mapped into memory."""
        path = self._path
        if self._dtype != "float32":
            path = path.with_suffix(f".{self._dtype}")
            if not path.exists():
                with path.open("xb") as file:
                    for block in self.blocks():
                        file.write(block.astype(self._dtype).tobytes())
        return torch.from_numpy(np.memmap(path, self._dtype, "c", shape=(self.count, self.dimension)))
