"""`lpse features`: inspect and convert a feature cache. Also prints the result of `lpse extract`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..display.text import long_clock, megabytes, plain, plural
from ..terminal.options import BadOption
from ..terminal.run import command_run

if TYPE_CHECKING:
    from features.extraction.extract import Extraction

features = typer.Typer(
    name="features",
    help="Inspect a feature cache, and convert it to and from the format of MMAudio.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

CacheArgument = Annotated[Path, typer.Argument(help="The folder of the cache.", show_default=False)]


def chosen_device(name: str) -> str:
    """The device to compute on; "auto": a GPU if available. Raises BadOption for a device that cannot be used."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise BadOption(f"--device {name}: {str(error).splitlines()[0]}") from error
    return name


@features.command()
def show(cache: CacheArgument) -> None:
    """Print the encoders and the contents of a cache.

    Example: lpse features show corpus/features/default-6fa58fa7
    """
    with command_run("features show"):
        from features.cache import FeatureCache

        opened = FeatureCache(cache)
        cuts = opened.cuts.select(["start", "end", "split"]).to_pylist()
        seconds = sum(cut["end"] - cut["start"] for cut in cuts)
        splits = Counter(cut["split"] for cut in cuts)
        shown = ", ".join(f"{count} {split}" for split, count in splits.most_common())
        show_cache(cache, _holds(len(cuts), shown, len(opened), seconds), sizes(cache))


@features.command("export")
def export_to(
    cache: CacheArgument,
    folder: Annotated[Path, typer.Argument(help="The folder to write, with FOLDER.tsv.", show_default=False)],
    kind: Annotated[Literal["video", "audio"], typer.Option(help="Cuts with video, or the audio of all.")] = "video",
    split: Annotated[str | None, typer.Option(help="train, val or test.", show_default="all")] = None,
    dtype: Annotated[Literal["float32", "float16"], typer.Option(help="Number format of the arrays.")] = "float32",
) -> None:
    """Export a cache for MMAudio: a TensorDict of memory maps, and a table of ids and captions.

    Example: lpse features export corpus/features/full-0123abcd mmaudio/ --split train
    """
    with command_run("features export"):
        from features.cache import FeatureCache
        from features.cache.mmaudio import table_beside, write_memmap

        table = table_beside(folder)
        count = write_memmap(FeatureCache(cache), folder, table, kind, split, dtype)
        typer.echo(f"{plural(count, 'clip')} in {folder} and {table}")


@features.command("import")
def import_from(
    folder: Annotated[Path, typer.Argument(help="The folder of memory maps.", show_default=False)],
    cache: Annotated[Path, typer.Argument(help="The folder of the new cache.", show_default=False)],
    table: Annotated[Path | None, typer.Option(help="Table of ids and captions.", show_default="FOLDER.tsv")] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "train",
    dtype: Annotated[Literal["float32", "float16"], typer.Option(help="Number format of the cache.")] = "float16",
) -> None:
    """Import features that MMAudio stored into a new cache.

    Example: lpse features import mmaudio/ imported/
    """
    with command_run("features import"):
        from features.cache.mmaudio import described, read_memmap

        count = read_memmap(folder, cache, described(folder, dtype), table=table, split=split)
        typer.echo(f"{plural(count, 'clip')} in {cache}")


def sizes(cache: Path) -> dict[str, int]:
    """The size of each table in bytes."""
    return {
        name: sum(f.stat().st_size for f in (cache / name).glob("*.parquet")) for name in ("clips", "cuts", "texts")
    }


def show_cache(cache: Path, holds: str, bytes: Mapping[str, int], console: Console | None = None) -> None:
    """Print the streams, the contents and the size of a cache."""
    from features.cache import read_spec

    out = console or Console()
    table = Table(title=f"{cache.name}: {holds}", title_justify="left")
    for column in ("stream", "encoder", "shape per clip", "rate"):
        table.add_column(column)
    described = read_spec(cache)
    for stream in ("visual", "sync", "audio", "text"):
        found = getattr(described, stream)
        if found:
            rate = "per caption" if found.rate is None else f"{found.rate:g} per s"
            table.add_row(stream, f"{found.encoder} {found.version}", f"{found.length} x {found.dimension}", rate)
    out.print(table)
    out.print(", ".join(f"{name} {megabytes(size)}" for name, size in bytes.items()), highlight=False)


def _holds(cuts: int, of_them: str, clips: int, seconds: float) -> str:
    return f"{plural(cuts, 'cut')} ({of_them}), {plural(clips, 'clip')} of 8 s, {long_clock(seconds)}"


def show_extraction(done: Extraction, console: Console | None = None) -> None:
    """Print the contents and the size of a cache, and the cuts without features."""
    out = console or Console()
    new = f"{done.new} new"
    hidden = f", {done.withdrawn} withdrawn" if done.withdrawn else ""
    show_cache(done.folder, _holds(done.cuts, new + hidden, done.clips, done.seconds), sizes(done.folder), out)
    if done.problems:
        reasons = Counter(reason for reason, _ in done.problems.values())
        missing = Table(title="Cuts without features", title_justify="left")
        missing.add_column("reason")
        missing.add_column("cuts", justify="right")
        missing.add_column("example")
        for reason, count in reasons.most_common():
            cut, (_, detail) = next(item for item in done.problems.items() if item[1][0] == reason)
            missing.add_row(plain(reason), str(count), escape(f"{cut}: {detail}"))
        out.print(missing)
