"""`lpse train`: adapters on a base, or a base, out of the features of a corpus."""

from __future__ import annotations

import shlex
from contextlib import suppress
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
        Path, typer.Argument(metavar="CORPUS_OR_CACHE", help="A corpus, or a folder of features.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="The run's folder; one begun before goes on.", show_default=False)],
    base: Annotated[
        Path | None, typer.Option("--base", help="The base to train on: ours, or a released .pth.", show_default="none")
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", help="Train a fresh base instead: tiny, small_16k …", show_default="none")
    ] = None,
    tune: Annotated[bool, typer.Option("--tune", help="Train the base too, not only adapters.")] = False,
    settings: Annotated[
        Path | None, typer.Option("--settings", help="A TOML file of settings.", show_default="the usual")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="How many.", show_default="5000")] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Clips a step, on all GPUs together.", show_default="16")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything that is drawn.", show_default="0")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …")] = "auto",
    precision: Annotated[
        Literal["float32", "bfloat16"] | None, typer.Option(help="To compute in.", show_default="float32")
    ] = None,
) -> None:
    """Train adapters on a frozen base, or with --size a base from nothing.

    Stop it whenever you like: the same command goes on where it was, to the same weights. On several GPUs:
    torchrun --nproc-per-node 4 .venv/bin/lpse train …

    Example: lpse train corpus/ --base large.safetensors --out runs/adapters
    """
    with command_run("train", stopped="stopped; a checkpoint is written: the same command goes on from here"):
        from model.training import fresh, from_file, load_settings
        from model.training import train as run
        from model.training.seam_trial import seam_trial

        from ..terminal.progress import ProgressBars
        from .features import chosen_device

        trained = _trained(base, size, tune)
        chosen = load_settings(settings, trained=trained, steps=steps, batch=batch, seed=seed, precision=precision)
        cache, setup = _opened(source)
        if settings is None:
            chosen = _with_what_there_is(chosen, cache)
        where = chosen_device(device)
        begun = fresh(size, cache, chosen.seed) if size else from_file(_given(base), cache)
        seams = seam_trial(cache, setup, chosen.validation.split) if chosen.validation.every else None
        with ProgressBars() as bars:
            done = run(cache, out, chosen, begun, setup, device=where, validate_seams=seams, on_progress=bars)
        _show(done, source, base)


def _trained(base: Path | None, size: str | None, tune: bool) -> str | None:
    """What is trained, None where the settings say it. Raises OSError for options that contradict each other."""
    if (base is None) == (size is None):
        raise BadOption("name one of --base FILE (adapters on it) and --size NAME (a fresh base)")
    if size is not None and tune:
        raise BadOption("--tune is for adapters on a base; with --size the base alone is trained")
    return "base" if size is not None else "both" if tune else None


def _with_what_there_is(usual: TrainingSettings, cache: FeatureCache) -> TrainingSettings:
    """The usual settings, without validation where nothing is kept for it, as in a corpus of a few cuts; says so."""
    from model.training.data import cuts_of

    split = usual.validation.split
    if cuts_of(cache, split, usual.require_video):
        return usual
    typer.echo(f"No validation: the split {split} has no cut with pictures.", err=True)
    return replace(usual, validation=replace(usual.validation, every=0))


def _given(base: Path | None) -> Path:
    assert base is not None
    return base


def _opened(source: Path) -> tuple[FeatureCache, ModelSetup]:
    """The features at `source`, and where their encoders are found."""
    from curation.detectors.score_store import setup_of
    from features.cache import FeatureCache
    from features.cache.of_corpus import caches
    from features.encoders import ModelSetup, ModelUnavailable
    from features.extraction.extract import cache_name, cache_spec
    from manifests.schema import CorpusError
    from manifests.store import Corpus

    if not (source / "corpus.toml").exists():
        return FeatureCache(source), ModelSetup()
    corpus = Corpus.open(source)
    recipe = corpus.active_recipe()
    setup = setup_of(corpus, recipe)
    there = caches(corpus)
    if not there:
        raise CorpusError(f"{source}: no features yet: run lpse extract --corpus {shlex.quote(str(source))}")
    if len(there) > 1:
        with suppress(ModelUnavailable):  # whose encoders are not ready: nothing says which cache is its own
            wanted = cache_name(recipe, cache_spec(recipe, setup))
            there = [path for path in there if path.name == wanted] or there
    if len(there) > 1:
        names = ", ".join(str(path) for path in there)
        raise CorpusError(f"{source}: several caches, name one of them: {names}")
    return FeatureCache(there[0]), setup


def _show(done: TrainingResult, source: Path, base: Path | None) -> None:
    tried = "".join(f", {name} {value:.4f}" for name, value in done.validation.items())
    loss = "" if done.loss is None else f": loss {done.loss:.4f}{tried}"
    typer.echo(f"{done.folder}: {done.steps} steps, {done.new} of them new{loss}")
    place, here = shlex.quote(str(source)), done.folder
    if (here / "adapters.safetensors").exists():
        of = here / "base.safetensors" if (here / "base.safetensors").exists() else base
        next_command(
            f"lpse generate VIDEO --adapters {shlex.quote(str(here / 'adapters.safetensors'))} "
            f"--base {shlex.quote(str(of))} --corpus {place} --out sound.wav"
        )
    else:
        made = shlex.quote(str(here / "base.safetensors"))
        next_command(f"lpse train {place} --base {made} --out {shlex.quote(f'{here}-adapters')}")
