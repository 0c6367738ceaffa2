"""Fit the mel codec: once, over a frozen list of cuts, and again only on request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from curation.detectors.score_store import setup_of
from curation.media import MediaError, mono_span
from curation.runner.progress import Progress, ProgressCallback
from manifests.fits import fit_fault, fit_folder, fits_folder, writing_fit
from manifests.identity import digest
from manifests.schema import CorpusError
from manifests.store import Corpus

from ..audio.mel import MODES, Mode
from ..encoders import ModelSetup, ModelUnavailable, melcodec
from .plan import PlannedCut, planned_cuts

NAMES: Mapping[str, Mode] = {"melcodec_16k": "16k", "melcodec_44k": "44k"}
CUTS, SECONDS = 256, 64.0  # a codec is fitted on at most so many cuts, and on the first seconds of each


def refit(corpus: Corpus, name: str, on_progress: ProgressCallback | None = None) -> str:
    """Fit the codec again on the cuts that are accepted now, and make it the active one; returns a summary.

    Features of the old codec stay in their own cache. Raises CorpusError if no cut is accepted, Locked.
    """
    with corpus.lock("refit"):
        recipe = corpus.active_recipe()
        wanted = planned_cuts(corpus, recipe, setup_of(corpus, recipe))
        return _fit(corpus, name, wanted, on_progress)


def fit_missing(
    corpus: Corpus, name: str, wanted: Sequence[PlannedCut], setup: ModelSetup, on_progress: ProgressCallback | None
) -> ModelSetup:
    """`setup` with a fit of the codec `name`, fitted now if the corpus has none; other encoders need no fit.

    Raises ModelUnavailable, with the cure, if the fit is damaged: features of another fit are no replacement.
    """
    if name not in NAMES:
        return setup
    if hash := dict(setup.active).get(name):
        folder = fit_folder(corpus, name, hash)
        if problem := fit_fault(folder):
            raise ModelUnavailable(f"{folder}: damaged: {problem}: run lpse refit {name} --corpus DIR")
        return setup
    _fit(corpus, name, wanted, on_progress)
    return replace(setup, fits=fits_folder(corpus), active=(*setup.active, (name, corpus.fits[name][-1])))


def _fit(corpus: Corpus, name: str, wanted: Sequence[PlannedCut], on_progress: ProgressCallback | None) -> str:
    usable = [one for one in wanted if one.problem is None]
    drawn = sorted(usable, key=lambda one: digest("fit", one.cut.cut_id))[:CUTS]
    chosen = sorted(drawn, key=lambda one: one.cut.cut_id)
    if not chosen:
        raise CorpusError(f"{corpus.path}: no accepted cut to fit {name} on")
    items = [one.cut.cut_id for one in chosen]
    try:
        codec = melcodec.fit(_waveforms(chosen, NAMES[name], on_progress), NAMES[name])
    except ValueError as error:
        raise CorpusError(f"{corpus.path}: {error}") from error
    hash = digest(name, melcodec.CODE, items, SECONDS)
    made_of = {"version": str(melcodec.CODE), "seconds": SECONDS, "explained": round(codec.explained, 6)}
    with writing_fit(corpus, name, hash, items=items, made_of=made_of) as folder:
        melcodec.save(codec, folder)
    corpus.use_fits(name, [hash])
    return f"{name}: fitted on {len(items)} cuts, {codec.explained:.1%} of the variance explained"


def _waveforms(chosen: Sequence[PlannedCut], mode: Mode, on_progress: ProgressCallback | None) -> Iterator[Tensor]:
    """The beginning of each cut; one that cannot be read is skipped, and extraction reports it."""
    rate = MODES[mode].sample_rate
    for done, one in enumerate(chosen, start=1):
        try:
            waveform = mono_span(one.path, one.cut.start, min(one.cut.end, one.cut.start + SECONDS), rate)
        except (MediaError, OSError):
            continue
        if len(waveform):
            yield torch.from_numpy(waveform)
        if on_progress:
            on_progress(Progress("fit", done, len(chosen), items=len(chosen)))
