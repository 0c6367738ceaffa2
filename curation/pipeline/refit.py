"""Refits a corpus's fits on request: added recordings alone never cause a refit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests.fits import prune_fits, writing_fit
from manifests.identity import digest
from manifests.recipe import Recipe, Runtime
from manifests.records import Recording
from manifests.schema import CorpusError
from manifests.store import Corpus

from ..detectors import ModelSetup, spec
from ..detectors.score_store import setup_of
from ..duplicates.corpus_index import fit_name, update_index
from ..duplicates.fingerprint import KINDS
from ..media import MediaError, audio_span, resampled
from .coverage import with_audio

DUPLICATES = "duplicates"
INT8 = {"panns_clip-int8": "panns_clip", "panns_frame-int8": "panns_frame"}
NAMES = (DUPLICATES, *INT8)
SAMPLES, SAMPLE_SECONDS = 48, 20.0  # int8 is calibrated on this many segments, one per recording
CALIBRATION_RATE = 32_000


def refit(corpus: Corpus, name: str, recipe: Recipe, on_progress: Callable[[float], None] | None = None) -> str:
    """Make the fit `name` from the current corpus, and use it from now on; returns a report.

    Raises CorpusError for an unknown name and for a corpus without data to fit on, ModelUnavailable if weights are
    missing.
    """
    if name not in NAMES:
        raise CorpusError(f"unknown fit {name!r}; available: {', '.join(NAMES)}")
    with corpus.lock("refit"):
        if name == DUPLICATES:
            return _refit_duplicates(corpus, on_progress)
        return _calibrate(corpus, name, recipe, on_progress)


def _refit_duplicates(corpus: Corpus, on_progress: Callable[[float], None] | None) -> str:
    recordings = [row.recording_id for row in corpus.rows(Recording)]
    lines = []
    for done, kind in enumerate(KINDS, start=1):
        corpus.use_fits(fit_name(kind), ())
        matches = update_index(corpus, kind, recordings)
        prune_fits(corpus, fit_name(kind))
        lines.append(f"{kind}: {len(matches)} matches among {len(recordings)} recordings")
        if on_progress:
            on_progress(done / len(KINDS))
    return "\n".join(lines)


def _calibrate(corpus: Corpus, name: str, recipe: Recipe, on_progress: Callable[[float], None] | None) -> str:
    from ..detectors.panns import calibrate

    detector, setup = INT8[name], setup_of(corpus, recipe)
    chosen = sample(corpus)
    if not chosen:
        raise CorpusError(f"{corpus.path}: no recording with audio to calibrate on: run lpse curate first")
    items = [row.recording_id for row, _ in chosen]
    float_setup = _with_runtime(setup, detector, "onnx")
    hash = digest(name, spec(detector, float_setup).version, items, SAMPLE_SECONDS)
    made_of = {"detector": detector, "version": spec(detector, float_setup).version, "seconds": SAMPLE_SECONDS}
    with writing_fit(corpus, name, hash, items=items, made_of=made_of) as folder:
        report = calibrate(detector, float_setup, _sounds(chosen, on_progress), folder)
        text = str(report)
    corpus.use_fits(name, [hash])
    return text


def _with_runtime(setup: ModelSetup, detector: str, runtime: Runtime) -> ModelSetup:
    return replace(setup, runtimes=tuple({**dict(setup.runtimes), detector: runtime}.items()))


def sample(corpus: Corpus) -> list[tuple[Recording, Path]]:
    """Up to SAMPLES recordings whose media exists, chosen by their ids, so that added recordings change few of them."""
    located, _ = with_audio(corpus, corpus.rows(Recording))
    located.sort(key=lambda one: digest("sample", one[0].recording_id))
    return list(islice(((row, Path(path)) for row, path in located if Path(path).is_file()), SAMPLES))


def _sounds(
    chosen: list[tuple[Recording, Path]], on_progress: Callable[[float], None] | None
) -> Iterator[NDArray[np.float32]]:
    """Yield the middle of each recording, mono at CALIBRATION_RATE; one that cannot be decoded is left out."""
    for number, (row, path) in enumerate(chosen, start=1):
        middle = (row.duration or 0.0) / 2
        start = max(0.0, middle - SAMPLE_SECONDS / 2)
        try:
            pieces = list(audio_span(path, start, start + SAMPLE_SECONDS))
        except MediaError:
            continue
        if pieces:
            rate = pieces[0][0]
            mono = np.concatenate([samples.mean(axis=0) for _, samples in pieces])
            yield resampled(mono, rate, CALIBRATION_RATE)
        if on_progress:
            on_progress(number / len(chosen))
