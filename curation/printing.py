"""Fingerprints of a picture that is looked at in places: each unbroken stretch gets words of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .duplicates import FPS, PicturePrinter


class Stretches:
    """A watcher of pictures on an even clock; a jump in it begins another stretch."""

    def __init__(self) -> None:
        self._done: list[tuple[float, NDArray[np.uint64]]] = []
        self._printer: PicturePrinter | None = None
        self._begin = self._last = 0.0

    def push(self, time: float, image: NDArray[np.uint8]) -> None:
        """The picture (height, width, 3) on screen at `time` seconds."""
        if self._printer is None or time - self._last > 1.5 / FPS:
            self._close()
            self._printer, self._begin = PicturePrinter(), time
        self._printer.push(time, image)
        self._last = time

    def finish(self) -> list[tuple[float, Any]]:
        """(begin in seconds, words) of every stretch."""
        self._close()
        return self._done

    def _close(self) -> None:
        if self._printer is not None:
            self._done.append((self._begin, self._printer.finish()))
            self._printer = None
