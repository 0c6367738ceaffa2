"""Loads the networks of panns-inference (MIT) and their checkpoints, without that package's side effects.

Importing it runs wget and writes a label file into the home folder; its own loaders run wget for any checkpoint that
they find too small. Neither is run here: only its module of networks is imported, under an empty package.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from ...backends.weights import ModelUnavailable

PACKAGE = "panns_inference"
INSTALL = "pip install 'lpse[panns]'"
SOURCE = "https://zenodo.org/records/3987831"
RATE, WINDOW, HOP, BANDS, LOWEST, HIGHEST, CLASSES = 32_000, 1024, 320, 64, 50, 14_000, 527
FRONT_END = ("spectrogram_extractor.", "logmel_extractor.")


def folder() -> str:
    """The folder of panns-inference, without importing it. Raises ModelUnavailable."""
    package = sys.modules.get(PACKAGE)
    folders: list[str] = list(getattr(package, "__path__", []))
    if not folders:
        found = find_spec(PACKAGE) if package is None else None
        folders = list(found.submodule_search_locations or []) if found else []
    if not folders:
        raise ModelUnavailable(f"panns-inference is not installed: {INSTALL}")
    return folders[0]


@cache
def networks() -> ModuleType:
    """The package's module of networks. Raises ModelUnavailable if it, or a dependency, cannot be imported."""
    place = folder()
    with _stand_ins(place):
        try:
            return import_module(f"{PACKAGE}.models")
        except (ImportError, OSError) as error:
            raise ModelUnavailable(f"panns-inference cannot be imported ({line(error)}): {INSTALL}") from error


@contextmanager
def _stand_ins(place: str) -> Iterator[None]:
    """While the networks are imported, replace the package and matplotlib, which they never use, by empty modules.

    The package's `__init__` would import its `config` (wget, the home folder) and its loaders; matplotlib would write a
    list of fonts into the home folder. Modules imported before are restored, new ones are removed.
    """
    empty: dict[str, ModuleType] = {}
    for name in (PACKAGE, f"{PACKAGE}.config", "matplotlib", "matplotlib.pyplot"):
        empty[name] = ModuleType(name)
    empty[PACKAGE].__path__ = [place]
    empty["matplotlib"].__path__ = []
    empty["matplotlib"].pyplot = empty["matplotlib.pyplot"]  # type: ignore[attr-defined]

    def taken(name: str) -> bool:
        return name in empty or name.startswith(f"{PACKAGE}.")

    before = {name: module for name, module in sys.modules.items() if taken(name)}
    for name in before:
        del sys.modules[name]
    sys.modules.update(empty)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if taken(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def network(name: str) -> Any:
    """A network of the package, as released: "Cnn14" or "Cnn14_DecisionLevelMax", untrained, in evaluation mode."""
    made = getattr(networks(), name)(
        sample_rate=RATE,
        window_size=WINDOW,
        hop_size=HOP,
        mel_bins=BANDS,
        fmin=LOWEST,
        fmax=HIGHEST,
        classes_num=CLASSES,
    )
    return made.eval()


def load(name: str, path: Path) -> Any:
    """The network with the weights of a checkpoint {"model": state_dict}; the file is only read.

    Raises ModelUnavailable, one line with the file and its fault.
    """
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes can raise any exception
        raise _fault(path, "not a complete PyTorch checkpoint of plain weights") from error
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise _fault(path, '"model" is missing or is not a dictionary of weights')
    made = network(name)
    fixed = {key: value.clone() for key, value in made.state_dict().items() if key.startswith(FRONT_END)}
    try:
        made.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise _fault(path, f"weights are not for {name} ({line(error)})") from error
    loaded = made.state_dict()
    broken = [key for key, value in loaded.items() if not torch.isfinite(value).all()]
    if broken:
        raise _fault(path, f"{broken[0]} contains values that are not finite")
    for key, value in fixed.items():
        # another window or other bands have the same shapes, and would give wrong scores silently
        difference, limit = float((loaded[key] - value).abs().max()), 1e-3 * float(value.abs().max())
        if difference > limit:
            raise _fault(path, f"{key} differs by {difference:.2g} from the released front end's, limit {limit:.2g}")
    return made


def _fault(path: Path, what: str) -> ModelUnavailable:
    return ModelUnavailable(f"{path}: {what}; get the released file from {SOURCE}")


def line(error: BaseException) -> str:
    """An error as one line of at most 200 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
