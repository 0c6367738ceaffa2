"""Gathers packages into the pool: reads, decodes and describes the files that their rules choose."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container
from pathlib import Path

import numpy as np

from ...media import MediaError
from .decode import TooLongError, decoded
from .members import MembersError, as_file, members
from .packages import Package, Table
from .pool import RATE, PoolWriter, Source, pool_key

Progress = Callable[[str, int], None]
"""Called with the package and the number of its sources so far."""
_NONE = np.zeros(0, np.int16)


def gather(
    package: Package,
    folder: Path,
    pool: Path,
    table: Table,
    reserved: Container[str] = frozenset(),
    progress: Progress = lambda package, count: None,
) -> bool:
    """Write the package, unpacked in `folder`, into the pool. False if the pool has it already, by the same rules.

    Files whose SHA-256 is in `reserved` are left out with the doubt "reserved"; files that cannot be decoded, and files
    that a rule leaves out, are listed with their reason and without samples.
    """
    key = table.key(package)
    if pool_key(pool, package.name) == key:
        return False
    writer = PoolWriter(pool, package.name, key)
    count = 0
    for member in members(folder):
        chosen = table.choose(package, member.path)
        if chosen is None:
            continue
        doubt, samples, digest = chosen.doubt, _NONE, ""
        try:
            content = member.read()
            digest = hashlib.sha256(content).hexdigest()
            if digest in reserved:
                doubt = "reserved"
            elif not doubt.startswith("left out"):
                with as_file(content, member.extension) as path:
                    samples = decoded(path, package.rates)
        except (MediaError, MembersError, TooLongError) as error:
            doubt = f"unreadable: {error}"
        writer.add(
            Source(
                package=package.name,
                version=package.version,
                path=member.path,
                sha256=digest,
                licence=chosen.licence,
                kind=chosen.kind,
                category=chosen.category,
                group=chosen.group,
                split=chosen.split,
                seconds=len(samples) / RATE,
                doubt=doubt,
            ),
            samples,
        )
        count += 1
        progress(package.name, count)
    writer.close()
    return True
