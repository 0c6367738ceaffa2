"""Jobs: sources still to be computed, and the writing of them into the pool, which can be stopped and resumed."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests.errors import LpseError

from ..pool import RATE, Kind, PoolWriter, Source, Split
from .signals import Wave, level

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A source to compute: its row of the pool, and the function that returns its samples, int16 (n,) at RATE."""

    path: str
    licence: str
    kind: Kind
    category: str
    group: str
    split: Split
    render: Callable[[], NDArray[np.int16]]


@dataclass(frozen=True)
class LeftOut:
    """A source that could not be computed, and the reason."""

    path: str
    reason: str


def make_package(folder: Path, package: str, version: str, jobs: Sequence[Job]) -> list[LeftOut]:
    """Write a package of the pool from its jobs; returns those that failed, with their reasons.

    A failed job has a row without samples, whose doubt is the reason. Finished sources are kept beside the pool until
    the package is complete, so that a second call computes only the missing ones; a complete package stays as it is.
    """
    done = _left_out(folder / f"{package}.parquet", version, jobs)
    if done is not None:
        return done
    parts = folder / f".{package}-{version}.parts"
    parts.mkdir(parents=True, exist_ok=True)
    reasons: dict[str, str] = {}
    for job in jobs:
        part = part_of(parts, job)
        try:
            if not part.exists():
                computed(job, part)
        except LpseError as error:
            log.warning("%s is left out: %s", job.path, error)
            reasons[job.path] = str(error)
    writer = PoolWriter(folder, package)
    for job in jobs:
        doubt = reasons.get(job.path, "")
        samples = np.zeros(0, np.int16) if doubt else np.fromfile(part_of(parts, job), np.int16)
        writer.add(source_of(job, package, version, samples, doubt), samples)
    writer.close()
    shutil.rmtree(parts)
    return [LeftOut(path, reason) for path, reason in reasons.items()]


def part_of(parts: Path, job: Job) -> Path:
    """The file that keeps the samples of a job until its package is complete."""
    return parts / f"{hashlib.sha256(job.path.encode()).hexdigest()[:24]}.i16"


def computed(job: Job, part: Path) -> NDArray[np.int16]:
    """The samples of a job, after they are written to its file."""
    samples = job.render()
    beside = part.with_suffix(f".{os.getpid()}")
    beside.write_bytes(samples.tobytes())
    beside.replace(part)
    return samples


def source_of(job: Job, package: str, version: str, samples: NDArray[np.int16], doubt: str = "") -> Source:
    """The row of a job's samples; its `sha256` is that of the samples."""
    return Source(
        package=package,
        version=version,
        path=job.path,
        sha256=hashlib.sha256(samples.tobytes()).hexdigest(),
        licence=job.licence,
        kind=job.kind,
        category=job.category,
        group=job.group,
        split=job.split,
        seconds=len(samples) / RATE,
        doubt=doubt,
    )


def _left_out(table: Path, version: str, jobs: Sequence[Job]) -> list[LeftOut] | None:
    """The sources without samples of a package that has these jobs in this version; None if it has others."""
    import pyarrow.parquet as pq

    if not table.exists():
        return None
    rows = pq.read_table(table, columns=["path", "version", "doubt", "samples"]).to_pylist()
    if [(row["path"], row["version"]) for row in rows] != [(job.path, version) for job in jobs]:
        return None
    return [LeftOut(row["path"], row["doubt"]) for row in rows if not row["samples"]]


def finished(x: Wave, loudness: float) -> NDArray[np.int16]:
    """`x` without its mean, with edges of 10 ms, at an RMS of `loudness` dBFS, or less so that no peak passes -1."""
    x = x - x.mean()
    edge = np.minimum(1, np.arange(len(x)) / (0.01 * RATE))
    x = level(x * edge * edge[::-1]) * 10 ** (loudness / 20)
    return np.asarray(np.rint(x * 32767 * min(1.0, 0.89 / max(float(np.abs(x).max(initial=0)), 1e-12))), np.int16)
