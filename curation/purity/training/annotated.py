"""A corpus's own judgements as training material: what people cleared, and what they cut away.

Cleared time becomes sound effects of a pool, so that contamination is mixed under the user's own recordings. Time with
cut contaminants, and some around it, becomes examples with the labels that people gave.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manifests.errors import LpseError
from manifests.identity import digest
from manifests.records import Recording
from manifests.store import Corpus
from manifests.time import Segment, Timeline
from manifests.uris import resolve

from ...decision.human_evidence import HumanEvidence, load_evidence
from ...detectors.purity.frontend import HOP
from ...media import MediaError, mono_span
from ..mixing.scene import LABELS, Labels, Scene
from ..sources.pool import RATE, PoolWriter, Source, Split

PACKAGE = "corpus"
EXAMPLES, SAMPLES = "examples.jsonl", "examples.i16"
LEAST_SECONDS = 2.0
AROUND = 20.0  # seconds on each side of cut time that an example may reach over
VALIDATION = 6  # one recording of so many is for validation
EDGE_FRAMES = 3  # at the ends of cut spans: people mark to about a quarter of a second


class NothingJudgedError(LpseError):
    """A corpus without human evidence, or whose media is missing; the message is one line with the cure."""


class Written(NamedTuple):
    """The yield of a corpus: cleared and cut seconds, and recordings left out with reasons."""

    cleared: float
    cut: float
    left_out: tuple[tuple[str, str], ...]


def write_judged(corpus: Corpus, pool: Path, folder: Path) -> Written:
    """Write cleared time as the package "corpus" of `pool`, and examples of cut time into `folder`.

    Raises NothingJudgedError if there is neither.
    """
    folder.mkdir(parents=True, exist_ok=True)
    writer = PoolWriter(pool, PACKAGE)
    recordings = {row.recording_id: row for row in corpus.rows(Recording)}
    cleared = cut = 0.0
    left_out: list[tuple[str, str]] = []
    written, rows = 0, []
    beside = folder / f".{SAMPLES}.part"
    with beside.open("wb") as samples_file:
        for recording_id, evidence in sorted(load_evidence(corpus).items()):
            row = recordings.get(recording_id)
            if row is None:
                left_out.append((recording_id, "no such recording"))
                continue
            split: Split = "val" if int(digest("split", recording_id)[:4], 16) % VALIDATION == 0 else "train"
            try:
                path = resolve(row.uri, corpus.roots)
                for segment in _pure(evidence):
                    sound = _int16(path, segment)
                    writer.add(_source(row, segment, split, len(sound) / RATE), sound)
                    cleared += segment.duration
                for segment, truth in _cut(evidence, row.duration or 0.0):
                    sound = _int16(path, segment)
                    samples_file.write(sound.tobytes())
                    rows.append({
                        "first": written, "samples": len(sound), "split": split, "recording": recording_id,
                        "spans": {name: [[s.start - segment.start, s.end - segment.start] for s in timeline]
                                  for name, timeline in truth.items()},
                        "judged": [[s.start - segment.start, s.end - segment.start]
                                   for s in _judged(evidence).crop(segment)],
                    })  # fmt: skip
                    written += len(sound)
                    cut += sum(timeline.duration for timeline in truth.values())
            except (MediaError, OSError, ValueError) as error:
                left_out.append((row.uri, str(error)))
    writer.close()
    beside.replace(folder / SAMPLES)
    (folder / EXAMPLES).write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    if not cleared and not rows:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out[:3])
        raise NothingJudgedError(
            f"{corpus.path}: nothing that people judged can be learned from ({reasons or 'no verdicts'}); "
            "annotate or review cuts first: lpse review"
        )
    return Written(cleared, cut, tuple(left_out))


def _judged(evidence: HumanEvidence) -> Timeline:
    """The time that people listened to."""
    whole = evidence.cleared
    for timeline in evidence.excised.values():
        whole = whole | timeline
    return whole - evidence.unsure


def _contaminants(evidence: HumanEvidence) -> dict[str, Timeline]:
    return {name: evidence.excised[name] for name in LABELS if name in evidence.excised}


def _pure(evidence: HumanEvidence) -> Iterator[Segment]:
    """Cleared time with nothing cut nearby."""
    impure = evidence.unsure | evidence.refused
    for timeline in evidence.excised.values():
        impure = impure | timeline.pad(1.0)
    yield from (evidence.cleared - impure).at_least(LEAST_SECONDS)


def _cut(evidence: HumanEvidence, duration: float) -> Iterator[tuple[Segment, dict[str, Timeline]]]:
    """Time around cut spans, and the contaminants in it."""
    truth = _contaminants(evidence)
    whole = Timeline()
    for timeline in truth.values():
        whole = whole | timeline
    for segment in whole.pad(AROUND).crop(Segment(0.0, duration)):
        yield segment, {name: timeline.crop(segment) for name, timeline in truth.items()}


def _int16(path: Path, segment: Segment) -> NDArray[np.int16]:
    sound = mono_span(path, segment.start, segment.end, RATE)
    return np.asarray(np.clip(np.rint(sound * 32768), -32768, 32767), np.int16)


def _source(row: Recording, segment: Segment, split: Split, seconds: float) -> Source:
    place = f"{row.recording_id}/{segment.start:.3f}-{segment.end:.3f}"
    return Source(PACKAGE, "1", place, digest(PACKAGE, place), "", "effects", PACKAGE, row.recording_id, split, seconds)


@dataclass(frozen=True, eq=False)
class Examples:
    """Windows of judged audio with people's labels."""

    samples: NDArray[np.int16]
    rows: tuple[dict[str, object], ...]

    @classmethod
    def open(cls, folder: Path, split: Split) -> Examples:
        """The examples of a split that `write_judged` wrote into `folder`."""
        lines = (folder / EXAMPLES).read_text(encoding="utf-8").splitlines()
        rows = tuple(row for row in map(json.loads, lines) if row["split"] == split)
        size = (folder / SAMPLES).stat().st_size
        return cls(np.memmap(folder / SAMPLES, np.int16, "r") if size else np.zeros(0, np.int16), rows)

    def draw(self, rng: np.random.Generator, frames: int) -> Scene:
        """A window of `frames` frames of a random example; what no person judged has no weight, nor have the levels."""
        row = self.rows[rng.integers(len(self.rows))]
        first, count = int(str(row["first"])), int(str(row["samples"]))
        spare = max(0, count - frames * HOP)
        at = int(rng.integers(spare // HOP + 1)) * HOP
        sound = np.zeros(frames * HOP, np.float32)
        piece = self.samples[first + at : first + min(count, at + frames * HOP)]
        sound[: len(piece)] = piece.astype(np.float32) / np.float32(32768)
        sound *= np.float32(10 ** (rng.uniform(-12, 6) / 20))
        return Scene(sound, _labels(row, at / RATE, frames), ())


def _labels(row: dict[str, object], start: float, frames: int) -> Labels:
    centres = start + (np.arange(frames) + 0.5) * HOP / RATE
    judged = _inside(row["judged"], centres)
    present = np.zeros((frames, len(LABELS)), np.float32)
    weights = np.repeat(judged.astype(np.float32)[:, None], len(LABELS), axis=1)
    spans = row["spans"]
    assert isinstance(spans, dict)
    for name, places in spans.items():
        column = LABELS.index(name)
        here = _inside(places, centres)
        present[:, column] = here
        for edge in np.flatnonzero(np.diff(here.astype(np.int8))):
            weights[max(0, edge + 1 - EDGE_FRAMES) : edge + 1 + EDGE_FRAMES, column] = 0
    # levels are unknown: those of silence, which the loss leaves out where `present` is 0, and no gradient elsewhere
    return Labels(present, weights, np.full_like(present, np.nan))


def _inside(places: object, centres: NDArray[np.float64]) -> NDArray[np.bool_]:
    assert isinstance(places, list)
    mask = np.zeros(len(centres), bool)
    for start, end in places:
        mask |= (centres >= start) & (centres < end)
    return mask
