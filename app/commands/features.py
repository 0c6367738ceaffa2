"""`lpse features`: what a cache holds, and MMAudio's layout there and back. Beside it, what `lpse extract` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..display.text import long_clock, megabytes
from ..terminal.options import BadOption
from ..terminal.run import command_run

if TYPE_CHECKING:
    from features.extraction.extract import Extraction

features = typer.Typer(
    name="features",
    help="Look at a feature cache, and convert it to and from MMAudio's stored features.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

CacheArgument = Annotated[Path, typer.Argument(help="The cache's folder.", show_default=False)]
GPU_WORKERS = 2  # one decodes while the other computes; each holds the encoders once


def chosen_device(asked: str) -> str:
    """The device to compute on: "auto" is a GPU where there is one. Raises OSError for one that cannot be used."""
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=asked)
    except (RuntimeError, AssertionError) as error:
        raise BadOption(f"--device {asked}: {str(error).splitlines()[0]}") from error
    return asked


def workers_for(device: str) -> int:
    """How many worker processes by default."""
    from curation.pipeline.curate import default_workers

    return default_workers() if device == "cpu" else min(GPU_WORKERS, default_workers())


@features.command()
def show(cache: CacheArgument) -> None:
    """Print which encoders a cache is of, and what it holds.

    Example: lpse features show corpus/features/default-6fa58fa7
    """
    with command_run("features show"):
        from features.cache import FeatureCache

        opened = FeatureCache(cache)
        cuts = opened.cuts.select(["start", "end", "split"]).to_pylist()
        seconds = sum(cut["end"] - cut["start"] for cut in cuts)
        splits = Counter(cut["split"] for cut in cuts)
        shown = ", ".join(f"{count} {split}" for split, count in splits.most_common())
        show_cache(
            cache, f"{len(cuts)} cuts ({shown}), {len(opened)} clips of 8 s, {long_clock(seconds)}", sizes(cache)
        )


@features.command("export")
def export_to(
    cache: CacheArgument,
    folder: Annotated[Path, typer.Argument(help="The folder to write, and FOLDER.tsv.", show_default=False)],
    kind: Annotated[Literal["video", "audio"], typer.Option(help="Cuts with pictures, or the sound of all.")] = "video",
    split: Annotated[str | None, typer.Option(help="train, val or test.", show_default="all")] = None,
    dtype: Annotated[Literal["float32", "float16"], typer.Option(help="Of the arrays.")] = "float32",
) -> None:
    """Write a cache as MMAudio reads it: a TensorDict of memory maps, and a table of ids and captions beside it.

    Example: lpse features export corpus/features/full-0123abcd mmaudio/ --split train
    """
    with command_run("features export_to"):
        from features.cache import FeatureCache
        from features.cache.mmaudio import write_memmap

        table = table_beside(folder)
        count = write_memmap(FeatureCache(cache), folder, table, kind, split, dtype)
        typer.echo(f"{count} clips in {folder} and {table}")


@features.command("import")
def import_from(
    folder: Annotated[Path, typer.Argument(help="MMAudio's folder of memory maps.", show_default=False)],
    cache: Annotated[Path, typer.Argument(help="The cache to write.", show_default=False)],
    table: Annotated[Path | None, typer.Option(help="The table of ids.", show_default="FOLDER.tsv")] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "train",
    dtype: Annotated[Literal["float32", "float16"], typer.Option(help="Of the cache.")] = "float16",
) -> None:
    """Make a cache of features that MMAudio stored.

    Example: lpse features import mmaudio/ imported/
    """
    with command_run("features import_from"):
        from features.cache.mmaudio import described, read_memmap

        count = read_memmap(folder, table or table_beside(folder), cache, described(folder, dtype), split)
        typer.echo(f"{count} clips in {cache}")


def table_beside(folder: Path) -> Path:
    """The table of a folder of memory maps."""
    return folder.absolute().with_name(f"{folder.absolute().name}.tsv")


def sizes(cache: Path) -> dict[str, int]:
    """Bytes of the files of each table."""
    return {
        name: sum(f.stat().st_size for f in (cache / name).glob("*.parquet")) for name in ("clips", "cuts", "texts")
    }


def show_cache(cache: Path, holds: str, bytes: Mapping[str, int], console: Console | None = None) -> None:
    """Print the streams of a cache, and what it holds and takes."""
    from features.cache import read_spec

    out = console or Console()
    table = Table(title=f"{cache.name}: {holds}", title_justify="left")
    for column in ("stream", "encoder", "of a clip", "a second"):
        table.add_column(column)
    described = read_spec(cache)
    for stream in ("visual", "sync", "audio", "text"):
        found = getattr(described, stream)
        if found:
            rate = "a caption" if found.rate is None else f"{found.rate:g}"
            table.add_row(stream, f"{found.encoder} {found.version}", f"{found.length} x {found.dimension}", rate)
    out.print(table)
    out.print(", ".join(f"{name} {megabytes(size)}" for name, size in bytes.items()), highlight=False)


def show_extraction(done: Extraction, console: Console | None = None) -> None:
    """Print what a cache holds, what it takes, and which cuts have no features."""
    out = console or Console()
    new = f"{done.new} new" if done.new else "none new"
    hidden = f", {done.withdrawn} withdrawn" if done.withdrawn else ""
    holds = f"{done.cuts} cuts ({new}{hidden}), {done.clips} clips of 8 s, {long_clock(done.seconds)}"
    show_cache(done.folder, holds, sizes(done.folder), out)
    if done.problems:
        reasons = Counter(reason for reason, _ in done.problems.values())
        missing = Table(title="Cuts without features", title_justify="left")
        missing.add_column("reason")
        missing.add_column("cuts", justify="right")
        missing.add_column("the first")
        for reason, count in reasons.most_common():
            cut, (_, detail) = next(item for item in done.problems.items() if item[1][0] == reason)
            missing.add_row(reason.replace("_", " "), str(count), escape(f"{cut}: {detail}"))
        out.print(missing)
