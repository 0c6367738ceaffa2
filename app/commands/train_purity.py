"""`lpse train-purity`: gather sources, train the purity network, export it, and fit the fusion that uses it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..terminal.options import BadOption, next_command
from ..terminal.run import command_run

if TYPE_CHECKING:
    from curation.purity.training.settings import TrainSettings

STOPPED = "stopped; the same command continues"


def train_purity(
    pool: Annotated[Path, typer.Option("--pool", help="The folder of the sources.", show_default=False)],
    gather: Annotated[
        bool, typer.Option("--gather", help="Download and check the sources (several gigabytes), then stop.")
    ] = False,
    folder: Annotated[
        list[Path] | None,
        typer.Option("--folder", help="With --gather: a folder of yours with speech/, singing/, music/, effects/."),
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option("--source", help="With --gather: NAME=DIR, a package that is unpacked already.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The run's folder; an unfinished run in it is continued.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option("--settings", help="A TOML file of settings.", show_default="defaults")
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--start", help="Begin with a finished run: its best.pt or purity.onnx.")
    ] = None,
    fine_tune: Annotated[
        Path | None,
        typer.Option(
            "--fine-tune",
            metavar="CORPUS",
            help="Learn from what people judged in a corpus; begins with lpse's own weights, or with --start.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Number of steps.", show_default="of the settings")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make mixtures.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …; auto: a GPU if there is one.")] = "auto",
    fit: Annotated[bool, typer.Option("--fit/--no-fit", help="Fit the fusion after the training.")] = True,
) -> None:
    """Train the purity detector: gather sources, train on mixtures of them, export, and fit the fusion.

    The training can be stopped at any time: the same command continues it and reaches the same weights.

    Example: lpse train-purity --pool pool/ --out run/
    """
    with command_run("train-purity", stopped=STOPPED):
        if gather:
            _gather(pool, folder or [], source or [])
            next_command(f"lpse train-purity --pool {shlex.quote(str(pool))} --out run/")
            return
        if folder or source:
            raise BadOption("--folder and --source belong to --gather")
        if out is None:
            raise BadOption("name the run's folder with --out, or gather the sources with --gather")
        if fine_tune is not None and start is None:
            from curation.detectors.purity.detector import weights_file

            start = weights_file()
        _train(pool, out, _settings(settings, steps, start), start, fine_tune, workers, device)
        if fit:
            _fit(pool, out)
        typer.echo(f'In a recipe: [weights] purity = "{out / "purity.onnx"}"')
        next_command(f"lpse bench purity --pool {shlex.quote(str(pool))}")


def _gather(pool: Path, folders: list[Path], sources: list[str]) -> None:
    from curation.purity.sources.build import build_pool
    from curation.purity.sources.check import check
    from curation.purity.sources.listing import summary, write_listing
    from curation.purity.sources.measure import measure_package
    from curation.purity.sources.pool import Pool

    local = {}
    for one in sources:
        name, equals, place = one.partition("=")
        if not equals:
            raise BadOption(f"--source {one}: not of the form NAME=DIR")
        local[name] = Path(place)
    built = build_pool(pool, pool / ".scratch", local=local, folders=folders, progress=_shown("gathering"))
    for name, reason in built.missing.items():
        typer.echo(f"left out: {name}: {reason}", err=True)
    _synthesise(pool)
    for package in sorted({one.package for one in Pool.open(pool, doubtful=True).sources}):
        measure_package(pool, package, _shown("checking"))
    typer.echo(f"{check(pool)} sources are left out of training; {pool / 'listing.parquet'} has the reasons")
    write_listing(pool, pool / "listing.parquet")
    for line in summary(Pool.open(pool).sources):
        typer.echo(line)


def _synthesise(pool: Path) -> None:
    """Make each synthetic package whose programs are installed; print the others with their cures."""
    from curation.purity.sources.synthesis.make import VERSIONS, make
    from curation.purity.sources.synthesis.programs import SynthesisError

    for package in VERSIONS:
        try:
            for one in make(pool, packages=[package], progress=lambda name: typer.echo(f"making: {name}", err=True))[
                package
            ]:
                typer.echo(f"left out: {package}: {one.path}: {one.reason}", err=True)
        except SynthesisError as error:
            typer.echo(f"left out: {package}: {error}", err=True)


def _shown(what: str) -> Callable[[str, int], None]:
    """A line for each package when its first source is done."""
    seen: set[str] = set()

    def show(package: str, count: int) -> None:
        if package not in seen:
            seen.add(package)
            typer.echo(f"{what}: {package}", err=True)

    return show


def _settings(path: Path | None, steps: int | None, start: Path | None) -> TrainSettings:
    from curation.purity.training.settings import load_settings

    chosen = load_settings(path)
    if steps is not None:
        chosen = replace(chosen, steps=steps)
    return replace(chosen, start="run") if start is not None else chosen


def _train(
    pool: Path,
    out: Path,
    settings: TrainSettings,
    start: Path | None,
    fine_tune: Path | None,
    workers: int,
    device: str,
) -> None:
    import torch

    from curation.purity.network.export import write_onnx
    from curation.purity.network.network import PurityNetwork
    from curation.purity.training.annotated import write_judged
    from curation.purity.training.card import write_card
    from curation.purity.training.loop import BEST, PurityTraining, run_weights
    from curation.purity.training.start import yamnet_checkpoint
    from manifests.store import Corpus

    from ..terminal.progress import simple_bar
    from .features import chosen_device

    annotated = None
    if fine_tune is not None:
        annotated = out / "annotated"
        written = write_judged(Corpus.open(fine_tune), pool, annotated)
        typer.echo(f"From {fine_tune}: {written.cleared:.0f} s cleared, {written.cut:.0f} s cut by people")
        for name, reason in written.left_out:
            typer.echo(f"left out: {name}: {reason}", err=True)
    weights = run_weights(start) if start is not None else None
    tensors = yamnet_checkpoint(pool / ".start") if settings.start == "yamnet" else weights
    run = PurityTraining(out, pool, settings, tensors, chosen_device(device), annotated)
    with simple_bar("training") as on_progress:
        run.run(workers, lambda step, steps, loss: on_progress(step / steps))
    network = PurityNetwork(settings.sizes)
    network.load_state_dict(run_weights(out / BEST))
    saved = torch.load(out / BEST, map_location="cpu", weights_only=True)
    notes = {
        "licence": "Apache-2.0",
        "validation": json.dumps(saved["figures"]),
        "run": f"{saved['key']}, step {saved['step']}",
    }
    write_onnx(network, out / "purity.onnx", notes)
    typer.echo(f"Best by validation: step {saved['step']}, mean recall {saved['figures']['mean']:.3f}")
    card = write_card(out, out / "purity.onnx", pool, settings, network.parameter_count())
    typer.echo(f"Written: {out / 'purity.onnx'}, {card}")


def _fit(pool: Path, out: Path) -> None:
    from curation.purity.fitting.own import fit_purity
    from manifests.recipe import load_recipe, shipped_recipes

    from ..terminal.progress import simple_bar

    base = load_recipe("default")
    chosen = replace(base, weights={**base.weights, "purity": str((out / "purity.onnx").absolute())})
    text = shipped_recipes()["default"].read_text(encoding="utf-8")
    with simple_bar("fitting") as on_progress:
        for line in fit_purity(out / "fit", pool, chosen, text=text, progress=on_progress):
            typer.echo(line)
