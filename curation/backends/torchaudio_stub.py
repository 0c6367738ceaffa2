"""Imports torchaudio beside a CPU build of PyTorch, where its compiled library, linked to CUDA, cannot be loaded."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def ensure_torchaudio() -> None:
    """Import torchaudio; if its compiled library cannot be loaded, import it without the library.

    Only an OSError, the loader's error, is handled: the parts that pyannote.audio needs (resampling, filterbanks) are
    Python. Raises ImportError if torchaudio is not installed.
    """
    try:
        importlib.import_module("torchaudio")
    except OSError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _without_library()
        importlib.import_module("torchaudio")


def _without_library() -> ModuleType:
    """The names that `torchaudio._extension` provides when it finds no library."""
    stub: Any = ModuleType("torchaudio._extension", "torchaudio without its compiled library")
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = False
    stub._IS_ALIGN_AVAILABLE = False
    stub.fail_if_no_align = _refuse
    return stub  # type: ignore[no-any-return]


def _refuse(function: Callable[..., Any]) -> Callable[..., Any]:
    def refused(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"torchaudio's {function.__name__} needs its compiled library, which cannot be loaded here")

    return refused
