"""`lpse doctor`: check the detectors, encoders and recipes on this machine."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from curation.detectors import NAMES, USER_WEIGHTS, ModelUnavailable, open_detector, spec
from curation.detectors.score_store import setup_of
from curation.runner import default_workers
from features.audio.mel import Mode
from features.encoders import NAMES as ENCODERS
from features.encoders import ModelSetup
from features.encoders import spec as encoder_spec
from features.extraction.codec_fit import NAMES as FITTED
from manifests.recipe import Recipe, load_recipe, shipped_recipes
from model.generation import bigvgan

CORE = ("torch", "numpy", "pyarrow", "pandas", "av", "soxr", "onnxruntime", "datasets")


def examine(recipe: Recipe) -> bool:
    """Print the state of this machine; True if all detectors and encoders of `recipe` can run on it.

    Weights are searched at the paths of the recipe, then in the folder LPSE_WEIGHTS.
    """
    console = Console()
    free = shutil.disk_usage(".").free / 1e9
    console.print(
        f"Python {platform.python_version()} at {sys.prefix}, {platform.system()} {platform.machine()}, "
        f"{default_workers()} cores, {free:.0f} GB free here",
        soft_wrap=True,
        highlight=False,
    )
    console.print(", ".join(f"{name} {_version(name) or 'missing'}" for name in CORE), soft_wrap=True, highlight=False)

    # with torch, weights are loaded without a conversion
    setup = replace(setup_of(None, recipe), runtimes=tuple((name, "torch") for name in USER_WEIGHTS))
    table = _table("Detectors", "detector", "state", "version")
    ready: set[str] = set()
    for name in NAMES:
        try:
            open_detector(name, setup)
            ready.add(name)
            table.add_row(name, "[green]ready[/green]", spec(name, setup).version)
        except ModelUnavailable as error:
            colour = "red" if name in recipe.all_detectors else "yellow"
            table.add_row(name, f"[{colour}]{escape(str(error))}[/{colour}]", "")
    console.print(table)

    encoders = _table("Encoders", "encoder", "state", "version")
    for name in ENCODERS:
        if name in FITTED:
            encoders.add_row(name, "[green]ready[/green], fitted to a corpus by lpse extract", "")
            ready.add(name)
            continue
        try:
            encoders.add_row(name, "[green]ready[/green]", encoder_spec(name, setup).version)
            ready.add(name)
        except ModelUnavailable as error:
            colour = "red" if name in recipe.features.encoders else "yellow"
            encoders.add_row(name, f"[{colour}]{escape(str(error))}[/{colour}]", "")
    console.print(encoders)

    training = _table("Training and generation", "part", "state")
    for part, state in _training(setup):
        training.add_row(part, state)
    console.print(training)

    recipes = _table("Recipes", "recipe", "state", "description")
    for name in shipped_recipes():
        shipped = load_recipe(name)
        missing = [model for model in (*shipped.all_detectors, *shipped.features.encoders) if model not in ready]
        state = f"[yellow]needs {', '.join(missing)}[/yellow]" if missing else "[green]ready[/green]"
        recipes.add_row(name, state, shipped.description)
    console.print(recipes)

    return all(name in ready for name in (*recipe.all_detectors, *recipe.features.encoders))


def _training(setup: ModelSetup) -> Iterator[tuple[str, str]]:
    """The requirements of `lpse train` and `lpse generate` beside the features, with their state."""
    missing = [name for name in ("accelerate", "matplotlib", "tensorboard") if _version(name) is None]
    yield "lpse train", "[yellow]pip install 'lpse\\[train]'[/yellow]" if missing else "[green]ready[/green]"
    yield "audio of melcodec_16k, melcodec_44k", "[green]ready[/green], by phase reconstruction"
    modes: tuple[Mode, ...] = ("16k", "44k")
    for mode in modes:
        try:
            bigvgan.weights_file(setup, mode)
            state = "[green]ready[/green]" if _version("bigvgan") else f"[yellow]{bigvgan.INSTALL}[/yellow]"
        except ModelUnavailable as error:
            state = f"[yellow]{escape(str(error))}[/yellow]"
        yield f"audio of vae_{mode}", state


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    return table


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
