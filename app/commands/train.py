"""`lpse train`: train adapters on a base, or a base, from the features of a corpus."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..terminal.options import BadOption, next_command
from ..terminal.run import command_run

if TYPE_CHECKING:
    from features.cache import FeatureCache
    from features.encoders import ModelSetup
    from model.training import TrainingResult, TrainingSettings


def train(
    source: Annotated[
        Path,
        typer.Argument(metavar="CORPUS_OR_CACHE", help="A corpus, or a feature cache.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The run's folder; an unfinished run in it is resumed.", show_default=False)
    ],
    base: Annotated[
        Path | None,
        typer.Option("--base", help="The base to train on: one of ours, or a released .pth.", show_default="none"),
    ] = None,
    new_base: Annotated[
        str | None,
        typer.Option("--new-base", help="Train a new base of this size: tiny, small_16k …", show_default="none"),
    ] = None,
    train_base: Annotated[
        bool, typer.Option("--train-base", help="Train the base too, not only the adapters.")
    ] = False,
    settings: Annotated[
        Path | None, typer.Option("--settings", help="A TOML file of settings.", show_default="defaults")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Number of steps.", show_default="5000")] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Clips per step, over all GPUs together.", show_default="16")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Random seed.", show_default="0")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …; auto: a GPU if there is one.")] = "auto",
    precision: Annotated[
        Literal["float32", "bfloat16"] | None, typer.Option(help="Number type to compute in.", show_default="float32")
    ] = None,
) -> None:
    """Train adapters on a frozen base, or with --new-base a base from scratch.

    The run can be stopped at any time: the same command resumes it and reaches the same weights. On several GPUs:
    torchrun --nproc-per-node 4 .venv/bin/lpse train …

    Example: lpse train corpus/ --base large.safetensors --out runs/adapters
    """
    with command_run("train", stopped="stopped; a checkpoint is written: the same command resumes the run"):
        from model.training import fresh, from_file, load_settings
        from model.training import train as run
        from model.training.seam_trial import seam_trial

        from ..terminal.progress import ProgressBars
        from .features import chosen_device

        trained = _trained(base, new_base, train_base)
        chosen = load_settings(settings, trained=trained, steps=steps, batch=batch, seed=seed, precision=precision)
        cache, setup = _opened(source)
        if settings is None:
            chosen = _without_missing_validation(chosen, cache)
        where = chosen_device(device)
        initial = fresh(new_base, cache, chosen.seed) if new_base else from_file(_given(base), cache)
        seams = seam_trial(cache, setup, chosen.validation.split) if chosen.validation.every else None
        with ProgressBars() as bars:
            done = run(cache, out, initial, chosen, setup, device=where, validate_seams=seams, on_progress=bars)
        _show(done, source, base)


def _trained(base: Path | None, new_base: str | None, train_base: bool) -> str | None:
    """The value of the setting `trained`; None leaves it to the settings. Raises BadOption for contradictions."""
    if (base is None) == (new_base is None):
        raise BadOption("name one of --base FILE (adapters on it) and --new-base SIZE (a new base)")
    if new_base is not None and train_base:
        raise BadOption("--train-base is for adapters on a base; with --new-base the base alone is trained")
    return "base" if new_base is not None else "both" if train_base else None


def _without_missing_validation(defaults: TrainingSettings, cache: FeatureCache) -> TrainingSettings:
    """The default settings, without validation if its split has no cuts, as in a corpus of a few cuts; prints so."""
    from model.training.data import cuts_of

    split = defaults.validation.split
    if cuts_of(cache, split, defaults.require_video):
        return defaults
    typer.echo(f"No validation: the split {split} has no cut with video.", err=True)
    return replace(defaults, validation=replace(defaults.validation, every=0))


def _given(base: Path | None) -> Path:
    assert base is not None
    return base


def _opened(source: Path) -> tuple[FeatureCache, ModelSetup]:
    """The feature cache at `source`, and the model files of its encoders."""
    from curation.detectors.score_store import setup_of
    from features.cache import FeatureCache
    from features.encoders import ModelSetup
    from manifests.store import Corpus

    if not (source / "corpus.toml").exists():
        return FeatureCache(source), ModelSetup()
    corpus = Corpus.open(source)
    return FeatureCache.of(corpus), setup_of(corpus, corpus.active_recipe())


def _show(done: TrainingResult, source: Path, base: Path | None) -> None:
    validation = "".join(f", {name} {value:.4f}" for name, value in done.validation.items())
    loss = "" if done.loss is None else f": loss {done.loss:.4f}{validation}"
    typer.echo(f"{done.folder}: {done.steps} steps, {done.new} of them new{loss}")
    place, run = shlex.quote(str(source)), done.folder
    if (run / "adapters.safetensors").exists():
        own = run / "base.safetensors" if (run / "base.safetensors").exists() else base
        next_command(
            f"lpse generate VIDEO --adapters {shlex.quote(str(run / 'adapters.safetensors'))} "
            f"--base {shlex.quote(str(own))} --corpus {place} --out audio.wav"
        )
    else:
        made = shlex.quote(str(run / "base.safetensors"))
        next_command(f"lpse train {place} --base {made} --out {shlex.quote(f'{run}-adapters')}")
