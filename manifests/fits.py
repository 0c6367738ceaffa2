"""Fits: what was made of many items at once and never changes (an index, a calibration), one folder each.

fits/<name>-<hash>/fit.json    what it was made of: version, parameters; size and CRC-32 of its other files
fits/<name>-<hash>/items.txt   the frozen list of items, one a line
"""

from __future__ import annotations

import filecmp
import json
import os
import secrets
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .files import naming_place
from .healing import report_healed
from .parquet import first_line
from .store import Corpus


def fits_folder(corpus: Corpus) -> Path:
    """The folder of all fits."""
    return corpus.path / "fits"


def fit_folder(corpus: Corpus, name: str, hash: str) -> Path:
    """The folder of one fit; it is complete or missing."""
    return fits_folder(corpus) / f"{name}-{hash}"


def fit_items(folder: Path) -> tuple[str, ...]:
    """The items a fit was made of."""
    return tuple((folder / "items.txt").read_text(encoding="utf-8").split("\n")[:-1])


def fit_fault(folder: Path) -> str | None:
    """The reason why a fit cannot be used, None for a sound one; all bytes of its files are read.

    Fits of earlier versions list no checksums: of them, only fit.json and the number of items are checked.
    """
    try:
        facts = _facts(folder)
        if facts.pop("crc32", None) not in (None, _sum(facts)):
            return "the checksum of fit.json does not match"
        if len(fit_items(folder)) != facts["items"]:
            return f"items.txt has {len(fit_items(folder))} items, fit.json lists {facts['items']}"
        for name, listed in facts.get("files", {}).items():
            if listed != _size_and_sum(folder / name):
                return f"the checksum of {name} does not match"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing" if folder.is_dir() else "it is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"fit.json or items.txt cannot be read: {first_line(error)}"
    return None


def fit_version(folder: Path) -> str | None:
    """The version that a fit was made with, None where there is no such fit, or none that can be read."""
    try:
        return str(_facts(folder)["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
    return facts


def _sum(facts: Mapping[str, object]) -> int:
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())


def _size_and_sum(path: Path) -> list[int]:
    size = total = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            size, total = size + len(piece), zlib.crc32(piece, total)
    return [size, total]


@contextmanager
def writing_fit(
    corpus: Corpus, name: str, hash: str, *, items: Sequence[str], made_of: Mapping[str, object]
) -> Iterator[Path]:
    """An empty folder to write a fit into, which becomes the fit when the block ends well.

    `made_of` is noted in it, as JSON. A fit that is there already stays if it has the same bytes, as equal hashes have
    unless one is damaged, which is replaced.
    """
    final = fit_folder(corpus, name, hash)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        with naming_place(final.parent):
            yield temporary
            (temporary / "items.txt").write_text("".join(f"{item}\n" for item in items), encoding="utf-8")
            sums = {path.relative_to(temporary).as_posix(): _size_and_sum(path) for path in _files(temporary)}
            facts = {"name": name, "items": len(items), **made_of, "files": sums}
            facts = json.loads(json.dumps(facts))
            noted = json.dumps({**facts, "crc32": _sum(facts)}, indent=1, sort_keys=True)
            (temporary / "fit.json").write_text(noted + "\n", encoding="utf-8")
            for path in _files(temporary):
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        if final.exists() and not _equal(temporary, final):
            problem = fit_fault(final)
            # a kill between the two leaves no fit, which `validate` names and its maker makes again
            final.rename(temporary.with_suffix(".old.tmp"))
            shutil.rmtree(temporary.with_suffix(".old.tmp"))
            if problem:
                report_healed(final, f"damaged: {problem}", "made again")
        if not final.exists():
            temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _equal(one: Path, other: Path) -> bool:
    ours, theirs = ([path.relative_to(folder) for path in _files(folder)] for folder in (one, other))
    return ours == theirs and all(filecmp.cmp(one / name, other / name, shallow=False) for name in ours)


def prune_fits(corpus: Corpus, name: str) -> None:
    """Remove the fits of that name that are not in use."""
    used = {fit_folder(corpus, name, hash) for hash in corpus.fits.get(name, ())}
    for folder in fits_folder(corpus).glob(f"{name}-*"):
        if folder not in used:
            shutil.rmtree(folder)
