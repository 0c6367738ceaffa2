"""`lpse demo`: build videos with known contents, curate them, and compare events and cuts with the contents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from manifests.store import Corpus

from ..demo.findings import PLANTED_LABELS, Finding, findings
from ..demo.material import build_material
from ..display.text import clock_range, outcome_name, percent, plain


def run_demo(
    folder: Path,
    curate: Callable[[Sequence[Path], Path], object],
    report: Callable[[Path], Path],
    console: Console,
) -> Path:
    """Build the material in `folder`, curate it into `folder`/corpus, print the findings and the path of the report.

    `curate(sources, corpus)` curates as `lpse curate` does; `report(corpus)` writes the report and returns its path.
    Raises app.demo.sounds.DemoError if the material cannot be downloaded.
    """
    console.print(f"Building the demo videos in {folder}; the next run uses them again")
    material = build_material(folder, on_line=lambda line: console.print(f"  {line}"))
    corpus = folder / "corpus"
    curate([material.media], corpus)
    console.print(found_of_planted(findings(Corpus.open(corpus), material.planted)))
    page = report(corpus)
    console.print(f"Contents of the videos: {folder / 'truth.jsonl'}; sources and licences: {folder / 'LICENSES.txt'}")
    console.print(f"[bold]Open the report:[/bold] {page}", soft_wrap=True)
    return page


def found_of_planted(rows: Sequence[Finding]) -> Table:
    """The findings as a table, with the planted contaminants in accepted cuts below it."""
    accepted = sum(cut.duration for row in rows for cut in row.accepted)
    contaminated = sum(row.contaminated_seconds for row in rows)
    table = Table(
        title="Planted and detected",
        caption=f"planted speech or music in accepted cuts: {contaminated:.1f} of {accepted:.0f} s\n"
        "+: detected time without planted contents",
    )
    table.add_column("video", overflow="fold")
    for label in PLANTED_LABELS:
        table.add_column(label, no_wrap=True)
    table.add_column("cuts", no_wrap=True)
    for row in rows:
        lines = [(cut.start, f"{clock_range(cut.start, cut.end)} {outcome_name('accept')}") for cut in row.accepted]
        lines += [(cut.start, f"{clock_range(cut.start, cut.end)} {outcome_name('review')}") for cut in row.review]
        cuts = [line for _, line in sorted(lines)] + [plain(reason) for reason in row.dropped]
        shares = [_share(row, label) for label in PLANTED_LABELS]
        table.add_row(row.file.removesuffix(".mp4"), *shares, "\n".join(cuts))
    return table


def _share(row: Finding, label: str) -> str:
    share = row.found_share(label)
    elsewhere = (row.found[label] - row.planted[label]).duration
    parts = [] if share is None else [f"{percent(share, 1)} of {row.planted[label].duration:.0f} s"]
    return "\n".join([*parts, f"+ {elsewhere:.0f} s"] if elsewhere >= 0.5 else parts)
