"""What `lpse extract` shows, and where it runs."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from features.cache import read_spec
from features.extract import Extraction

from .summary import clock

GPU_WORKERS = 2  # one decodes while the other computes; each holds the encoders once


def chosen_device(asked: str) -> str:
    """The device to compute on: "auto" is a GPU where there is one. Raises OSError for one that cannot be used."""
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=asked)
    except (RuntimeError, AssertionError) as error:
        raise OSError(f"--device {asked}: {str(error).splitlines()[0]}") from error
    return asked


def workers_for(device: str) -> int:
    """How many worker processes by default."""
    from curation.pipeline import default_workers

    return default_workers() if device == "cpu" else min(GPU_WORKERS, default_workers())


def show_extraction(done: Extraction, console: Console | None = None) -> None:
    """Print what a cache holds, what it takes, and which cuts have no features."""
    out = console or Console()
    new = f"{done.new} new" if done.new else "none new"
    hidden = f", {done.withdrawn} withdrawn" if done.withdrawn else ""
    title = f"{done.folder.name}: {done.cuts} cuts ({new}{hidden}), {done.clips} clips of 8 s, {clock(done.seconds)}"
    table = Table(title=title, title_justify="left")
    for column in ("stream", "encoder", "of a clip", "a second"):
        table.add_column(column)
    described = read_spec(done.folder)
    for stream in ("visual", "sync", "audio", "text"):
        found = getattr(described, stream)
        if found:
            rate = "a caption" if found.rate is None else f"{found.rate:g}"
            table.add_row(stream, f"{found.encoder} {found.version}", f"{found.length} x {found.dimension}", rate)
    out.print(table)
    out.print(", ".join(f"{name} {megabytes(size)}" for name, size in done.bytes.items()), highlight=False)
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


def megabytes(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
