"""The video-to-audio base, its adapters, their training, generation and evaluation.

Nothing here touches annotation.
"""

from typing import TYPE_CHECKING

from manifests.lazy import lazy

if TYPE_CHECKING:
    from .adapters import AdapterConfig, Adapters, load_adapters, save_adapters
    from .errors import ModelError
    from .evaluation.listening import SystemScore, system_scores
    from .generation.clips import Sampling
    from .generation.generate import Generated, GenerationSettings, generate
    from .metrics import (
        Moments,
        SeamMeter,
        SeamMetrics,
        clip_joins,
        control_times,
        frechet_distance,
        loudness,
        moments_of,
    )
    from .metrics.seams import energies, file_energies
    from .mmaudio import BaseConfig, MMAudio, build_base, load_base, save_base
    from .training.loop import TrainingResult, train
    from .training.settings import TrainingSettings, load_settings

__all__ = [
    "AdapterConfig",
    "Adapters",
    "BaseConfig",
    "Generated",
    "GenerationSettings",
    "MMAudio",
    "ModelError",
    "Moments",
    "Sampling",
    "SeamMeter",
    "SeamMetrics",
    "SystemScore",
    "TrainingResult",
    "TrainingSettings",
    "build_base",
    "clip_joins",
    "control_times",
    "energies",
    "file_energies",
    "frechet_distance",
    "generate",
    "load_adapters",
    "load_base",
    "load_settings",
    "loudness",
    "moments_of",
    "save_adapters",
    "save_base",
    "system_scores",
    "train",
]

_MODULES = {
    ".adapters": ("AdapterConfig", "Adapters", "load_adapters", "save_adapters"),
    ".errors": ("ModelError",),
    ".evaluation.listening": ("SystemScore", "system_scores"),
    ".generation.clips": ("Sampling",),
    ".generation.generate": ("Generated", "GenerationSettings", "generate"),
    ".metrics": (
        "Moments",
        "SeamMeter",
        "SeamMetrics",
        "clip_joins",
        "control_times",
        "frechet_distance",
        "loudness",
        "moments_of",
    ),
    ".metrics.seams": ("energies", "file_energies"),
    ".mmaudio": ("BaseConfig", "MMAudio", "build_base", "load_base", "save_base"),
    ".training.loop": ("TrainingResult", "train"),
    ".training.settings": ("TrainingSettings", "load_settings"),
}
__getattr__, __dir__ = lazy(__name__, {name: module for module, names in _MODULES.items() for name in names})
