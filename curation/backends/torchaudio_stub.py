"""torchaudio beside a CPU build of PyTorch: its compiled library links CUDA and does not load, its Python parts do."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def ensure_torchaudio() -> None:
    """Import torchaudio; where its compiled library is refused, again without one.

    Only an OSError, the refusal itself, is answered so: what pyannote.audio needs of torchaudio (resampling,
    filterbanks) is Python. Raises ImportError when torchaudio is not installed.
    """
    try:
        importlib.import_module("torchaudio")
    except OSError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _without_library()
        importlib.import_module("torchaudio")


def _without_library() -> ModuleType:
    """What `torchaudio._extension` offers the rest of torchaudio when it has found no library."""
    stub: Any = ModuleType("torchaudio._extension", "torchaudio without its compiled library")
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = False
    stub._IS_ALIGN_AVAILABLE = False
    stub.fail_if_no_align = _refuse
    return stub  # type: ignore[no-any-return]


def _refuse(function: Callable[..., Any]) -> Callable[..., Any]:
    def refused(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"torchaudio's {function.__name__} needs its compiled library, which does not load here")

    return refused
