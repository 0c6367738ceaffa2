"""Staged cuts: finished, but in no part yet. Each is a file, so that workers need not wait for each other."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from manifests.declared import open_declared
from manifests.files import leftovers, write_beside

from .cut import CutFeatures, StoredCut, checked
from .spec import ANY_LENGTH, CacheError, CacheSpec, read_spec

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


def stage(path: Path, cut: CutFeatures) -> None:
    """Write a cut's features to a file of its own until `commit`; replaces an earlier one.

    Raises CacheError, naming cut, stream and row, if they do not match the cache's spec; nothing is written then. May
    run in several processes at once.
    """
    if not _NAME.fullmatch(cut.cut_id):
        raise CacheError(f"cut {cut.cut_id!r}: only letters, digits, '.', '_' and '-' can name a staged file")
    stored = checked(read_spec(path), cut)
    table = pa.table(
        {
            "cut_id": [stored.cut_id],
            "recording_id": [stored.recording_id],
            "start": pa.array([stored.start], pa.float64()),
            "end": pa.array([stored.end], pa.float64()),
            "has_video": [stored.has_video],
            "clip_starts": pa.array([stored.clip_starts.tolist()], pa.list_(pa.float64())),
            **{name: pa.array([array.tobytes()], pa.large_binary()) for name, array in stored.arrays.items()},
        }
    )
    with write_beside(staged_file(path, cut.cut_id)) as file:
        pq.write_table(
            table,
            file,
            compression="NONE",
            use_dictionary=False,
            write_statistics=False,  # no checksum covers them
            write_page_checksum=True,
        )


def staged(path: Path) -> list[str]:
    """The ids of the staged cuts, sorted."""
    return sorted(file.name.removesuffix(".parquet") for file in (path / "staged").glob("[!.]*.parquet"))


def remove_leftovers(path: Path) -> None:
    """Remove half-written files of killed processes. Call only while no other process writes to the cache."""
    for file in leftovers(path):
        file.unlink(missing_ok=True)


def staged_file(path: Path, cut_id: str) -> Path:
    """The file of a staged cut."""
    return path / "staged" / f"{cut_id}.parquet"


def read_staged(path: Path, spec: CacheSpec, cut_id: str) -> StoredCut:
    """Read a staged cut and verify its checksums. Raises CacheError naming the file."""
    name = staged_file(path, cut_id)
    try:
        with open_declared(name, checksums=True) as file:
            table = file.read()
        table.validate(full=True)
        row = table.to_pydict()
    except FileNotFoundError:
        raise CacheError(f"{path}: cut {cut_id} is neither staged nor stored") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CacheError(f"{name}: unreadable, remove it and extract the cut again: {error}") from error
    try:
        one = {column: values[0] for column, values in row.items()}
        starts = np.array(one["clip_starts"], np.float64)
        shapes = {
            **{column: (len(starts), *shape) for column, shape in spec.clip_shapes().items()},
            **spec.cut_shapes(),
            **spec.whole_shapes(),
        }
        arrays = {
            column: np.frombuffer(one[column], spec.numpy_dtype).reshape(
                [-1 if size == ANY_LENGTH else size for size in shape]
            )
            for column, shape in shapes.items()
            if column in one
        }
        return StoredCut(one["cut_id"], one["recording_id"], one["start"], one["end"], one["has_video"], starts, arrays)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise CacheError(f"{name}: not a cut of this cache, remove it and extract the cut again: {error!r}") from error
