"""Fits: what was made of many items at once and never changes (an index, a calibration), one folder each.

fits/<name>-<hash>/fit.json    what it was made of: version, parameters
fits/<name>-<hash>/items.txt   the frozen list of items, one a line
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

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


def fit_version(folder: Path) -> str | None:
    """The version that a fit was made with, None where there is no such fit."""
    try:
        version = json.loads((folder / "fit.json").read_text(encoding="utf-8"))["version"]
    except FileNotFoundError:
        return None
    return str(version)


@contextmanager
def writing_fit(
    corpus: Corpus, name: str, hash: str, *, items: Sequence[str], made_of: Mapping[str, object]
) -> Iterator[Path]:
    """An empty folder to write a fit into, which becomes the fit when the block ends well.

    `made_of` is noted in it, as JSON. A fit that is there already stays as it is: equal hashes are equal fits.
    """
    final = fit_folder(corpus, name, hash)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        (temporary / "items.txt").write_text("".join(f"{item}\n" for item in items), encoding="utf-8")
        text = json.dumps({"name": name, "items": len(items), **made_of}, indent=1, sort_keys=True)
        (temporary / "fit.json").write_text(text + "\n", encoding="utf-8")
        for path in temporary.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        if not final.exists():
            temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def prune_fits(corpus: Corpus, name: str) -> None:
    """Remove the fits of that name that are not in use."""
    used = {fit_folder(corpus, name, hash) for hash in corpus.fits.get(name, ())}
    for folder in fits_folder(corpus).glob(f"{name}-*"):
        if folder not in used:
            shutil.rmtree(folder)
