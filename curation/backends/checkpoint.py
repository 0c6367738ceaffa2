"""PyTorch checkpoints read as data: nothing that a file says is run, and PyTorch is not needed.

A checkpoint is a zip of one pickle and the tensors' bytes. Unpickling runs what the pickle names, and what trainers
leave in theirs (callbacks, settings objects) keeps `torch.load(weights_only=True)` from opening them. Here each class
or function that a pickle names becomes an `Inert` stand-in, which records what it was given and does nothing.
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
    """In place of whatever a pickle named `path`: the arguments and the state it was given, and its items if it has.

    A subclass is made for every name; calling it, or an instance, makes another stand-in and nothing else.
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
        """An item of a list-like object: not kept."""

    def extend(self, _: Any) -> None:
        """Items of a list-like object: not kept."""

    def add(self, _: Any) -> None:
        """An item of a set-like object: not kept."""

    # as keys of a pickled mapping they are told apart by identity, as most objects are
    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__
    __ne__ = object.__ne__


class _Reader(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        return type(global_name.rpartition(".")[2], (Inert,), {"path": f"{module_name}.{global_name}"})

    def persistent_load(self, pid: Any) -> Any:
        return pid


class Checkpoint:
    """What a checkpoint file holds: `content` with stand-ins for its objects, tensors read when asked for.

    Raises ValueError, one line without the path, for a file that is no whole checkpoint; OSError when it cannot be
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
            raise ValueError(f"no PyTorch checkpoint, or not all of one ({_line(error)})") from error
        try:
            self.content: Any = _Reader(io.BytesIO(written)).load()
        except Exception as error:  # a pickle that was tampered with can raise whatever there is
            raise ValueError(f"its pickle cannot be read ({type(error).__name__}: {_line(error)})") from error

    def state(self) -> dict[str, NDArray[Any]]:
        """Name and values of every tensor under `state_dict`. Raises ValueError for one that is not there whole."""
        listed = self.content.get("state_dict") if isinstance(self.content, Mapping) else None
        if not isinstance(listed, Mapping) or not listed:
            raise ValueError("holds no state_dict")
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
                raise ValueError("is no tensor")
            (_, kind, key, _, _), offset, shape, strides = value.args[:4]
            dtype = _DTYPES.get(kind.path.rpartition(".")[2])
            if dtype is None:
                raise ValueError(f"is of {kind.path}")
            stored = np.frombuffer(archive.read(f"{self._folder}data/{key}"), dtype)
            if min((offset, *shape, *strides), default=0) < 0 or len(shape) != len(strides):
                raise ValueError(f"has shape {shape}, strides {strides}")
            # as_strided would read whatever lies behind the values there are
            end = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) + 1
            if 0 not in shape and end > len(stored):
                raise ValueError(f"ends at value {end} of {len(stored)}")
            steps = [step * stored.itemsize for step in strides]
            return np.lib.stride_tricks.as_strided(stored[offset:], shape, steps).copy()
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            raise ValueError(f"tensor {name} cannot be read ({_line(error)})") from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
