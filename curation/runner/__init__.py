"""Runners: process items with a stage in worker processes that may crash, hang or be killed.

`run_local` uses one machine; `LedgeredRunner` skips items that the ledger records as done.
"""

from .pool import default_workers, run_local
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
    "default_workers",
    "run_local",
]
