"""Sources of training audio: gathers them from packages and folders, checks their labels, and reads the pool.

`packages.toml` names the packages and chooses their files; `build` downloads, reads and decodes them into a pool;
`measure` and `check` find what is doubtful; `reserved` refuses what only evaluation may use; `listing` lists it all.
"""

from .build import Built, FolderError, build_pool
from .check import Bounds, check
from .listing import summary, write_listing
from .measure import measure_package
from .packages import Package, PackagesError, Table, read_table
from .pool import KINDS, RATE, SPLITS, Kind, Pool, PoolError, PoolWriter, Source, Split, total_hours
from .reserved import Reserved, ReservedError, read_reserved

__all__ = [
    "KINDS",
    "RATE",
    "SPLITS",
    "Bounds",
    "Built",
    "FolderError",
    "Kind",
    "Package",
    "PackagesError",
    "Pool",
    "PoolError",
    "PoolWriter",
    "Reserved",
    "ReservedError",
    "Source",
    "Split",
    "Table",
    "build_pool",
    "check",
    "measure_package",
    "read_reserved",
    "read_table",
    "summary",
    "total_hours",
    "write_listing",
]
