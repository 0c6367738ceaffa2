"""Gathers packages into the pool: reads, decodes and describes the files that their rules choose."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...media import MediaError
from .archives import ArchiveError, bounded
from .copyright import licences
from .decode import DECODER, TooLongError, decoded
from .members import Member, as_file, members
from .packages import Chosen, Package, Table
from .pool import RATE, Pool, PoolError, PoolWriter, Source, pool_key
from .reserved import Reserved

Progress = Callable[[str, int], None]
"""Called with the package and the number of its sources so far."""
_NONE = np.zeros(0, np.int16)
NO_RESERVED = Reserved()


def gather(
    package: Package,
    folder: Path,
    pool: Path,
    table: Table,
    reserved: Reserved = NO_RESERVED,
    progress: Progress = lambda package, count: None,
) -> bool:
    """Write the package, unpacked in `folder`, into the pool. False if the pool has it already, by the same rules.

    Files whose SHA-256 is in `reserved` are left out with the doubt "reserved"; files that cannot be decoded, and files
    that a rule leaves out, are listed with their reason and without samples. Samples that an earlier part of the pool
    has of the same bytes are not decoded again. Raises ArchiveError for a damaged archive.
    """
    if is_current(package, pool, table, reserved):
        return False
    key, earlier = _key(package, table, reserved), pool_key(pool, package.name) or ""
    known = _Known(pool, package.name) if earlier.split("|")[0] == key.split("|")[0] else None
    writer = PoolWriter(pool, package.name, key)
    described = _with_copyright(package, folder)
    count = 0
    try:
        for member in members(folder):
            chosen = table.choose(described, member.path)
            if chosen is not None:
                digest, samples, doubt = _read(member, chosen, package.rates, reserved, known)
                writer.add(_source(package, member, chosen, digest, len(samples) / RATE, doubt), samples)
                count += 1
                progress(package.name, count)
    except BaseException:
        writer.abort()
        raise
    writer.close()
    return True


def is_current(package: Package, pool: Path, table: Table, reserved: Reserved = NO_RESERVED) -> bool:
    """True if the pool has the package, gathered by the same rules."""
    return pool_key(pool, package.name) == _key(package, table, reserved)


def _key(package: Package, table: Table, reserved: Reserved) -> str:
    """The conditions of the samples, then those of all the rest."""
    decoding = f"{DECODER} {sorted(package.rates.items())}"
    return f"{decoding}|{table.key(package)} {hashlib.sha256(reserved.content).hexdigest()}"


def _with_copyright(package: Package, folder: Path) -> Package:
    """The package with the licences of its own copyright file, after those of the table."""
    path = folder / "usr" / "share" / "doc" / package.name / "copyright"
    if package.copyright_root is None or not path.is_file():
        return package
    found = licences(bounded(path).decode("utf-8", "replace"), package.copyright_root)
    return replace(package, licences=(*package.licences, *found))


class _Known:
    """The samples of an earlier part of the pool, by the hash of the bytes that they were decoded from."""

    def __init__(self, folder: Path, package: str) -> None:
        try:
            self._pool = Pool.open(folder, doubtful=True, packages=[package])
        except PoolError:
            self._pool = Pool(folder, (), ())
        self._places = {one.sha256: i for i, one in enumerate(self._pool.sources) if one.seconds and one.sha256}

    def get(self, digest: str) -> NDArray[np.int16] | None:
        index = self._places.get(digest)
        return None if index is None else self._pool.samples(index)


def _read(
    member: Member, chosen: Chosen, rates: Mapping[int, int], reserved: Reserved, known: _Known | None
) -> tuple[str, NDArray[np.int16], str]:
    """The hash of a file, its samples (none if it is left out for good), and the doubt about it."""
    digest = ""
    try:
        content = member.read()
        digest = hashlib.sha256(content).hexdigest()
        if digest in reserved:
            return digest, _NONE, "reserved"
        if chosen.left_out:
            return digest, _NONE, chosen.doubt
        samples = None if known is None else known.get(digest)
        if samples is None:
            with as_file(content, member.extension) as path:
                samples = decoded(path, rates)
        return digest, samples, chosen.doubt
    except (MediaError, ArchiveError, TooLongError) as error:
        return digest, _NONE, f"unreadable: {error}"


def _source(package: Package, member: Member, chosen: Chosen, digest: str, seconds: float, doubt: str) -> Source:
    return Source(
        package=package.name,
        version=package.version,
        path=member.path,
        sha256=digest,
        licence=chosen.licence,
        kind=chosen.kind,
        category=chosen.category,
        group=chosen.group,
        split=chosen.split,
        seconds=seconds,
        doubt=doubt,
    )
