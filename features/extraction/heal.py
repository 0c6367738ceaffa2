"""Healing of a cache before an extraction: files that cannot be read are removed, so that they are made again.

Only what opening shows is found here: `lpse validate` reads every byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.files import live_parts
from manifests.healing import report_healed
from manifests.parquet import first_line

from ..cache import CacheError, CacheSpec, staged
from ..cache.index import read_index
from ..cache.parts import writing
from ..cache.spec import read_spec
from ..cache.staging import read_staged, staged_file

_AGAIN = "removed; its cuts are encoded again"


def heal(folder: Path, described: CacheSpec) -> None:
    """Remove the files of the cache that cannot be read; its name is the hash of `described`, its spec.

    The caller holds the corpus's lock.
    """
    if not folder.is_dir():
        return
    _heal_spec(folder, described)
    with writing(folder):
        for path, problem in _broken_parts(folder):
            path.unlink(missing_ok=True)
            report_healed(path, problem, _AGAIN)
    for cut_id in staged(folder):
        try:
            read_staged(folder, described, cut_id)
        except CacheError as error:
            staged_file(folder, cut_id).unlink()
            report_healed(staged_file(folder, cut_id), f"damaged: {first_line(error)}", _AGAIN)
    index = folder / "index.parquet"
    if index.exists():
        try:
            read_index(folder)
        except CacheError as error:
            index.unlink()
            report_healed(index, f"damaged: {first_line(error)}", "written again")


def _heal_spec(folder: Path, described: CacheSpec) -> None:
    path = folder / "set.json"
    try:
        if path.exists() and read_spec(folder) != described:
            path.unlink()  # the folder's name is made of the spec: no other can be right
            report_healed(path, "damaged: it describes other streams", "written again")
    except CacheError as error:
        path.unlink()
        report_healed(path, f"damaged: {first_line(error)}", "written again")


def _broken_parts(folder: Path) -> Iterator[tuple[Path, str]]:
    """Parts that cannot be opened, and those of cuts that are worth nothing without their clips."""
    clips = {path.name: _problem(path) for path in live_parts(folder / "clips")}
    cuts = {path.name: _problem(path) for path in live_parts(folder / "cuts")}
    for name in sorted(clips.keys() | cuts.keys()):
        if problem := clips.get(name, "damaged: it is missing") or cuts.get(name):
            yield folder / "cuts" / name, problem
            yield folder / "clips" / name, problem
    for path in live_parts(folder / "texts"):
        if problem := _problem(path):
            yield path, problem


def _problem(path: Path) -> str | None:
    try:
        # large arrays lie in the other columns: these are read whole by whoever opens the cache
        small = [name for name in pq.read_schema(path).names if name in ("cut_id", "clips", "start", "end", "text_id")]
        pq.read_table(path, columns=small, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        return f"damaged: {first_line(error).removeprefix(f'{path}: ')}"
    return None
