"""Means over the vectors of a cut, the same to the bit for blocks of any size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1024  # rows in float64 at once


class RunningMean:
    """Mean over arrays of one shape, summed in float64 one after the other.

    Extraction has all vectors of a cut in memory, generation reads them block by block: both come to the same bits.
    """

    def __init__(self) -> None:
        self._total: NDArray[np.float64] | None = None
        self._count = 0

    def push(self, rows: NDArray[Any]) -> RunningMean:
        """Add (n, ...); returns itself."""
        for first in range(0, len(rows), _BLOCK):
            block = rows[first : first + _BLOCK].astype(np.float64)
            if self._total is not None:
                block = np.concatenate([self._total[None], block])
            # over the first axis NumPy adds row after row: where a block ends makes no difference
            self._total = np.add.reduce(block, axis=0)
        self._count += len(rows)
        return self

    def mean(self) -> NDArray[np.float64]:
        """The mean, (...). Raises ValueError before the first row."""
        if self._total is None:
            raise ValueError("a mean over no vectors")
        return np.asarray(self._total / self._count)
