"""Runners: carry out a stage on many items in worker processes that may crash, hang or be killed.

`run_local` is the one for a single machine; `LedgeredRunner` skips what the ledger says is done.
"""

from .pool import run_local
from .progress import Progress, ProgressCallback, ShareCallback
from .stage import CannotStart, Item, ItemResult, Runner, Stage

__all__ = [
    "CannotStart",
    "Item",
    "ItemResult",
    "Progress",
    "ProgressCallback",
    "Runner",
    "ShareCallback",
    "Stage",
    "run_local",
]
