"""Human evidence: the labelling page, its server and client, routing, agreement, adjudication, review.

This package sets no thresholds: `curation` does that, with the verdicts that this package collects.
"""

from typing import TYPE_CHECKING

from manifests.lazy import lazy

if TYPE_CHECKING:
    from .agreement import measure_agreement
    from .labelstudio.client import Server
    from .rounds.adjudicate import Adjudicated, adjudicate
    from .rounds.pull import Pulled, pull
    from .rounds.push import Delivery, push
    from .rounds.review import ReviewRequest, ReviewResult, decide_span, recording_state, request_annotation, undo
    from .server import ServerError, serving
    from .tasks.routing import Routing

__all__ = [
    "Adjudicated",
    "Delivery",
    "Pulled",
    "ReviewRequest",
    "ReviewResult",
    "Routing",
    "Server",
    "ServerError",
    "adjudicate",
    "decide_span",
    "measure_agreement",
    "pull",
    "push",
    "recording_state",
    "request_annotation",
    "serving",
    "undo",
]

_MODULES = {
    ".agreement": ("measure_agreement",),
    ".labelstudio.client": ("Server",),
    ".rounds.adjudicate": (
        "Adjudicated",
        "adjudicate",
    ),
    ".rounds.pull": (
        "Pulled",
        "pull",
    ),
    ".rounds.push": (
        "Delivery",
        "push",
    ),
    ".rounds.review": (
        "ReviewRequest",
        "ReviewResult",
        "decide_span",
        "recording_state",
        "request_annotation",
        "undo",
    ),
    ".server": (
        "ServerError",
        "serving",
    ),
    ".tasks.routing": ("Routing",),
}
__getattr__, __dir__ = lazy(__name__, {name: module for module, names in _MODULES.items() for name in names})
