"""Reads PyTorch checkpoints as data: no code of the file is run, and PyTorch is not needed.

A checkpoint is a zip archive of one pickle and the tensors' bytes. Unpickling runs the functions that the pickle names,
and objects that trainers leave in it (callbacks, settings) make `torch.load(weights_only=True)` fail. Here each class
or function that a pickle names becomes an `Inert` stand-in, which records its arguments and does nothing.

PyTorch stores members without compression. What the archive, the pickle and the tensors declare is compared with the
bytes of the file before anything is allocated for it.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.bounded import one_line
from manifests.errors import LpseError
from manifests.files import open_regular

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


# bytes of a value, by the storages that PyTorch writes
_ITEM_BYTES = {
    **{name: np.dtype(kind).itemsize for name, kind in _DTYPES.items()},
    **dict.fromkeys(("QInt8Storage", "QUInt8Storage", "QUInt4x2Storage", "QUInt2x4Storage", "UntypedStorage"), 1),
    "BFloat16Storage": 2,
    "QInt32Storage": 4,
    "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16,
}
_MOST_PICKLE = 64 << 20  # bytes
_FEW_VALUES = 1 << 20  # that a tensor may repeat from fewer stored ones
_MOST_COPIES = 4  # of the file's bytes in all tensors together: several may share a storage
_SLACK = 64 << 20


class CheckpointError(LpseError, ValueError):
    """A file that is not a complete checkpoint; the message is one line without the path."""


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


# Python's own unpickler: that in C makes a table as long as the largest number that a pickle gives to an object.
class _Reader(pickle._Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        return type(global_name.rpartition(".")[2], (Inert,), {"path": f"{module_name}.{global_name}"})

    def persistent_load(self, pid: Any) -> Any:
        return pid


class _CheckedReader(_Reader):
    """Checks storages against the archive, tensors against their storage, and all together against the file."""

    def __init__(self, archive: zipfile.ZipFile, folder: str, written: bytes, repeats: bool) -> None:
        super().__init__(io.BytesIO(written))
        self._archive, self._folder, self._repeats, self._left = archive, folder, repeats, _memory(archive)

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        kind = super().find_class(module_name, global_name)
        if kind.path not in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3"):
            return kind

        def tensor(*args: Any) -> Inert:
            (_, stored, _, _, count), offset, shape, strides = args[:4]
            _check_extent(count, offset, shape, strides, self._repeats)
            self._left -= 0 if self._repeats else math.prod(shape) * _ITEM_BYTES[stored.path.rpartition(".")[2]]
            if self._left < 0:
                raise ValueError("its tensors are larger than the file")
            made: Inert = kind(*args)
            return made

        return tensor

    def persistent_load(self, pid: Any) -> Any:
        """The description of a storage, whose values the archive must have."""
        _, kind, key, _, count = pid
        size = _ITEM_BYTES.get(kind.path.rpartition(".")[2])
        stored = self._archive.getinfo(f"{self._folder}data/{key}").file_size
        if size is None or not 0 <= count * size <= stored:
            raise ValueError(f"storage {key} has {stored} bytes, {count} values of {kind.path} are declared")
        return pid


def is_archive(path: Path) -> bool:
    """True for a file that begins as a zip archive does: PyTorch reads it as one. OSError if it cannot be opened."""
    with open_regular(path) as file:
        return file.read(4) == b"PK\x03\x04"


def check_archive(path: Path, *, repeats: bool = False) -> None:
    """Raises CheckpointError for a zip archive that is not a PyTorch checkpoint, or declares more than it contains.

    For readers that trust its sizes. `repeats`: tensors may repeat their values at will, because the reader compares
    their shapes before it copies them. OSError if it cannot be opened.
    """
    with _opened(path) as (archive, folder, written):
        _content(_CheckedReader(archive, folder, written, repeats))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, str, bytes]]:
    """The archive, the folder in it, and its pickle; its members have no more bytes than the file."""
    with open_regular(path) as file:
        try:
            archive = zipfile.ZipFile(file)
            name = _checked_pickle(archive.infolist(), path.stat().st_size)
            written = archive.read(name)
        except CheckpointError:
            raise
        except Exception as error:  # a damaged directory makes the reader raise anything, from struct.error to OSError
            raise CheckpointError(f"not a complete PyTorch checkpoint ({_line(error)})") from error
        yield archive, name.removesuffix("data.pkl"), written


def _checked_pickle(members: Sequence[zipfile.ZipInfo], size: int) -> str:
    """The name of the pickle among the members of an archive of `size` bytes. Raises CheckpointError."""
    pickles = [member for member in members if member.filename.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise CheckpointError(f"a zip archive with {len(pickles)} pickles, a PyTorch checkpoint has one")
    if len({member.filename for member in members}) < len(members):
        raise CheckpointError("a zip archive with two members of one name")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise CheckpointError("a compressed zip archive, PyTorch stores without compression")
    declared = sum(member.file_size for member in members)
    if declared > size:
        raise CheckpointError(f"its members declare {declared} bytes, the file has {size}")
    if pickles[0].file_size > _MOST_PICKLE:
        raise CheckpointError(f"its pickle has {pickles[0].file_size} bytes, at most {_MOST_PICKLE} are read")
    return pickles[0].filename


def _content(reader: _Reader) -> Any:
    try:
        return reader.load()
    except Exception as error:  # a manipulated pickle can raise any exception
        raise CheckpointError(f"its pickle cannot be read ({type(error).__name__}: {_line(error)})") from error


def _memory(archive: zipfile.ZipFile) -> int:
    """The most bytes that all tensors of an archive may take."""
    return _MOST_COPIES * sum(member.file_size for member in archive.infolist()) + _SLACK


def _check_extent(
    count: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], repeats: bool = False
) -> None:
    """Raises ValueError for a tensor that reaches beyond its `count` stored values, or repeats few of them often."""
    if min((offset, *shape, *strides), default=0) < 0 or len(shape) != len(strides):
        raise ValueError(f"has shape {shape}, strides {strides}")
    end = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) + 1
    if 0 not in shape and end > count:
        raise ValueError(f"ends at value {end} of {count}")
    if not repeats and math.prod(shape) > max(count, _FEW_VALUES):
        raise ValueError(f"repeats {count} values to {math.prod(shape)}")


class Checkpoint:
    """Contents of a checkpoint file: `content` with stand-ins for its objects; tensors are read on demand.

    Raises CheckpointError for a file that is not a complete checkpoint; OSError if it cannot be opened. The file is
    only read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _opened(path) as (_, self._folder, written):
            self.content: Any = _content(_Reader(io.BytesIO(written)))

    def state(self) -> dict[str, NDArray[Any]]:
        """Name and values of every tensor under `state_dict`. Raises ValueError for an incomplete tensor."""
        listed = self.content.get("state_dict") if isinstance(self.content, Mapping) else None
        if not isinstance(listed, Mapping) or not listed:
            raise ValueError("state_dict is missing")
        state: dict[str, NDArray[Any]] = {}
        try:
            with zipfile.ZipFile(self._path) as archive:
                left = _memory(archive)
                for name, value in listed.items():
                    state[str(name)] = array = self._array(archive, name, value)
                    left -= array.nbytes
                    if left < 0:
                        raise ValueError("its tensors are larger than the file")
        except zipfile.BadZipFile as error:
            raise ValueError(f"is damaged ({_line(error)})") from error
        return state

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
            # as_strided would read beyond the stored values
            _check_extent(len(stored), offset, shape, strides)
            steps = [step * stored.itemsize for step in strides]
            return np.lib.stride_tricks.as_strided(stored[offset:], shape, steps).copy()
        except (KeyError, TypeError, AttributeError, IndexError, ValueError, RuntimeError) as error:
            raise ValueError(f"tensor {name} cannot be read ({_line(error)})") from error


def _line(error: BaseException) -> str:
    return one_line(" ".join(str(error).split()))[:200]
