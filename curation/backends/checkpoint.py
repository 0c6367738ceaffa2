"""Reads PyTorch checkpoints as data: no code of the file is run, and PyTorch is not needed.

A checkpoint is a zip archive of one pickle and the tensors' bytes. Unpickling runs the functions that the pickle names,
and objects that trainers leave in it (callbacks, settings) make `torch.load(weights_only=True)` fail. Here each class
or function that a pickle names becomes an `Inert` stand-in, which records its arguments and does nothing.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "|b1",
}


class Inert(dict[Any, Any]):
    """Stand-in for the object that a pickle named `path`: its arguments, its state and, for a mapping, its items.

    Each name gets a subclass; calling it, or an instance, only makes another stand-in.
    """

    path = ""
    args: tuple[Any, ...] = ()
    state: Any = None

    def __new__(cls, *args: Any, **_: Any) -> Inert:
        self = super().__new__(cls)
        self.args = args
        return self

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __call__(self, *args: Any, **_: Any) -> Inert:
        return Inert(*args)

    def append(self, _: Any) -> None:
        """Discard an item of a list-like object."""

    def extend(self, _: Any) -> None:
        """Discard items of a list-like object."""

    def add(self, _: Any) -> None:
        """Discard an item of a set-like object."""

    # as keys of a pickled mapping they are compared by identity, as most objects are
    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__
    __ne__ = object.__ne__


class _Reader(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        return type(global_name.rpartition(".")[2], (Inert,), {"path": f"{module_name}.{global_name}"})

    def persistent_load(self, pid: Any) -> Any:
        return pid


class Checkpoint:
    """Contents of a checkpoint file: `content` with stand-ins for its objects; tensors are read on demand.

    Raises ValueError, one line without the path, for a file that is not a complete checkpoint; OSError if it cannot be
    opened. The file is only read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
                if len(pickles) != 1:
                    raise ValueError(f"a zip archive with {len(pickles)} pickles, a PyTorch checkpoint has one")
                self._folder = pickles[0].removesuffix("data.pkl")
                written = archive.read(pickles[0])
        except zipfile.BadZipFile as error:
            raise ValueError(f"not a complete PyTorch checkpoint ({_line(error)})") from error
        try:
            self.content: Any = _Reader(io.BytesIO(written)).load()
        except Exception as error:  # a manipulated pickle can raise any exception
            raise ValueError(f"its pickle cannot be read ({type(error).__name__}: {_line(error)})") from error

    def state(self) -> dict[str, NDArray[Any]]:
        """Name and values of every tensor under `state_dict`. Raises ValueError for an incomplete tensor."""
        listed = self.content.get("state_dict") if isinstance(self.content, Mapping) else None
        if not isinstance(listed, Mapping) or not listed:
            raise ValueError("state_dict is missing")
        try:
            with zipfile.ZipFile(self._path) as archive:
                return {str(name): self._array(archive, name, value) for name, value in listed.items()}
        except zipfile.BadZipFile as error:
            raise ValueError(f"is damaged ({_line(error)})") from error

    def _array(self, archive: zipfile.ZipFile, name: object, value: object) -> NDArray[Any]:
        try:
            while isinstance(value, Inert) and value.path.startswith("torch._utils._rebuild_parameter"):
                value = value.args[0]
            if not isinstance(value, Inert) or value.path != "torch._utils._rebuild_tensor_v2":
                raise ValueError("not a tensor")
            (_, kind, key, _, _), offset, shape, strides = value.args[:4]
            dtype = _DTYPES.get(kind.path.rpartition(".")[2])
            if dtype is None:
                raise ValueError(f"unsupported type {kind.path}")
            stored = np.frombuffer(archive.read(f"{self._folder}data/{key}"), dtype)
            if min((offset, *shape, *strides), default=0) < 0 or len(shape) != len(strides):
                raise ValueError(f"has shape {shape}, strides {strides}")
            # as_strided would read beyond the stored values
            end = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) + 1
            if 0 not in shape and end > len(stored):
                raise ValueError(f"ends at value {end} of {len(stored)}")
            steps = [step * stored.itemsize for step in strides]
            return np.lib.stride_tricks.as_strided(stored[offset:], shape, steps).copy()
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            raise ValueError(f"tensor {name} cannot be read ({_line(error)})") from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
