"""Lists a pool: the table of all sources that the repository keeps, and sums for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from .pool import KINDS, SPLITS, Pool, Source, total_hours


def write_listing(folder: Path, path: Path) -> int:
    """Write a table of all sources of the pool in `folder`, doubtful ones with their reason; the number of rows.

    One row per source, sorted by package and path; hashes as bytes, seconds to the hundredth. The same pool gives the
    same bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    sources = sorted(Pool.open(folder, doubtful=True).sources, key=lambda one: (one.package, one.path))
    words = ("package", "version", "licence", "kind", "category", "group", "split", "doubt")
    columns = {name: pa.array([getattr(one, name) for one in sources]).dictionary_encode() for name in words}
    columns["path"] = pa.array([one.path for one in sources])
    columns["sha256"] = pa.array([bytes.fromhex(one.sha256) or None for one in sources], pa.binary(32))
    columns["seconds"] = pa.array([round(one.seconds, 2) for one in sources], pa.float32())
    beside = path.with_name(f".{path.name}.part")
    pq.write_table(
        pa.table(columns),
        beside,
        compression="zstd",
        compression_level=19,
        use_dictionary=list(words),
        column_encoding={"path": "DELTA_BYTE_ARRAY"},
    )
    beside.replace(path)
    return len(sources)


def summary(sources: Sequence[Source]) -> Iterator[str]:
    """Yield lines of text: sources, hours and groups by kind and split, then the effects by class, then the doubts."""
    usable = [one for one in sources if not one.doubt]
    yield f"{'kind':<10}{'split':<7}{'sources':>8}{'hours':>9}{'groups':>8}{'packages':>10}"
    for kind, split, count, hours in total_hours(usable):
        chosen = [one for one in usable if one.kind == kind and one.split == split]
        groups, packages = {one.group for one in chosen}, {one.package for one in chosen}
        yield f"{kind:<10}{split:<7}{count:>8}{hours:>9.2f}{len(groups):>8}{len(packages):>10}"
    yield f"{'effects':<17}" + "".join(f"{split:>15}" for split in SPLITS) + "  (sources, minutes)"
    effects = [one for one in usable if one.kind == KINDS[-1]]
    for category in sorted({one.category for one in effects}):
        cells = []
        for split in SPLITS:
            chosen = [one for one in effects if one.category == category and one.split == split]
            cells.append(f"{len(chosen):>7}{sum(one.seconds for one in chosen) / 60:>8.1f}")
        yield f"{category:<17}" + "".join(cells)
    reasons: dict[str, int] = {}
    for one in sources:
        if one.doubt:
            reason = ": ".join(one.doubt.split(" (")[0].split(" as ")[0].split(" of ")[0].split(": ")[:2])
            reasons[reason] = reasons.get(reason, 0) + 1
    for reason, count in sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])):
        yield f"{count:>7} left out: {reason.removeprefix('left out: ')}"
