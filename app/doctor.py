"""`lpse doctor`: what is ready on this machine, and what is missing where."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console
from rich.table import Table

from curation.detectors import NAMES, DetectorUnavailable, open_detector, spec
from curation.pipeline import default_workers
from manifests.recipe import load_recipe, shipped_recipes

CORE = ("torch", "numpy", "pyarrow", "pandas", "av", "soxr", "onnxruntime", "datasets")


def examine() -> bool:
    """Print the state of this machine; True when every detector of the default recipe runs here."""
    console = Console()
    free = shutil.disk_usage(".").free / 1e9
    console.print(
        f"Python {platform.python_version()} at {sys.prefix}, {platform.system()} {platform.machine()}, "
        f"{default_workers()} cores, {free:.0f} GB free here",
        soft_wrap=True,
        highlight=False,
    )
    console.print(", ".join(f"{name} {_version(name) or 'missing'}" for name in CORE), soft_wrap=True, highlight=False)

    table = Table(title="Detectors", title_justify="left")
    for column in ("detector", "state", "version"):
        table.add_column(column)
    ready: set[str] = set()
    for name in NAMES:
        try:
            open_detector(name)
            ready.add(name)
            table.add_row(name, "[green]ready[/green]", spec(name).version)
        except DetectorUnavailable as error:
            table.add_row(name, f"[red]{error}[/red]", "")
    console.print(table)

    recipes = Table(title="Recipes", title_justify="left")
    for column in ("recipe", "state", "what it is"):
        recipes.add_column(column)
    for name in shipped_recipes():
        recipe = load_recipe(name)
        missing = [detector for detector in recipe.detectors if detector not in ready]
        state = f"[red]needs {', '.join(missing)}[/red]" if missing else "[green]ready[/green]"
        recipes.add_row(name, state, recipe.description)
    console.print(recipes)

    return all(name in ready for name in load_recipe("default").detectors)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
