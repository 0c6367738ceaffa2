"""Jobs: sources still to be computed, and the writing of them into the pool, which can be stopped and resumed."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterable
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
    """One source to compute: its row of the pool, and the function that gives its samples, int16 (n,) at RATE."""

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


def make_package(folder: Path, package: str, version: str, jobs: Iterable[Job]) -> list[LeftOut]:
    """Write a package of the pool from its jobs; returns those that failed, with their reasons.

    Finished sources are kept beside the pool until the package is complete, so that a second call computes only the
    missing ones.
    """
    parts = folder / f".{package}-{version}.parts"
    parts.mkdir(parents=True, exist_ok=True)
    writer = PoolWriter(folder, package)
    left_out: list[LeftOut] = []
    for job in jobs:
        part = parts / f"{hashlib.sha256(job.path.encode()).hexdigest()[:24]}.i16"
        try:
            samples = np.fromfile(part, np.int16) if part.exists() else _computed(job, part)
        except LpseError as error:
            log.warning("%s is left out: %s", job.path, error)
            left_out.append(LeftOut(job.path, str(error)))
            continue
        writer.add(_source(job, package, version, samples), samples)
    writer.close()
    shutil.rmtree(parts)
    return left_out


def _computed(job: Job, part: Path) -> NDArray[np.int16]:
    samples = job.render()
    beside = part.with_suffix(f".{os.getpid()}")
    beside.write_bytes(samples.tobytes())
    beside.replace(part)
    return samples


def _source(job: Job, package: str, version: str, samples: NDArray[np.int16]) -> Source:
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
    )


def finished(x: Wave, loudness: float) -> NDArray[np.int16]:
    """`x` without its mean, with edges of 10 ms, at an RMS of `loudness` dBFS, or less so that no peak passes -1."""
    x = x - x.mean()
    edge = np.minimum(1, np.arange(len(x)) / (0.01 * RATE))
    x = level(x * edge * edge[::-1]) * 10 ** (loudness / 20)
    return np.asarray(np.rint(x * 32767 * min(1.0, 0.89 / max(float(np.abs(x).max()), 1e-12))), np.int16)
