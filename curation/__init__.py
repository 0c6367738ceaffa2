"""From raw videos to decided cuts: media access, detectors, decisions, the run over a corpus.

This package does not depend on the labelling server.
"""

from typing import TYPE_CHECKING

from manifests.lazy import lazy

if TYPE_CHECKING:
    from .backends.weights import ModelSetup, ModelUnavailable
    from .catalog.catalog import Catalog
    from .decision.decide import Decided, decide
    from .detectors.score_store import load_scores, setup_of
    from .detectors.scorer import score_file
    from .media import MediaError
    from .pipeline.curate import curate, replay
    from .pipeline.redecide import redecide
    from .pipeline.refit import refit
    from .pipeline.result import CurationResult
    from .runner import Progress
    from .trust.whatif import WhatIf

__all__ = [
    "Catalog",
    "CurationResult",
    "Decided",
    "MediaError",
    "ModelSetup",
    "ModelUnavailable",
    "Progress",
    "WhatIf",
    "curate",
    "decide",
    "load_scores",
    "redecide",
    "refit",
    "replay",
    "score_file",
    "setup_of",
]

_MODULES = {
    ".backends.weights": (
        "ModelSetup",
        "ModelUnavailable",
    ),
    ".catalog.catalog": ("Catalog",),
    ".decision.decide": (
        "Decided",
        "decide",
    ),
    ".detectors.score_store": (
        "load_scores",
        "setup_of",
    ),
    ".detectors.scorer": ("score_file",),
    ".media": ("MediaError",),
    ".pipeline.curate": (
        "curate",
        "replay",
    ),
    ".pipeline.redecide": ("redecide",),
    ".pipeline.refit": ("refit",),
    ".pipeline.result": ("CurationResult",),
    ".runner": ("Progress",),
    ".trust.whatif": ("WhatIf",),
}
__getattr__, __dir__ = lazy(__name__, {name: module for module, names in _MODULES.items() for name in names})
