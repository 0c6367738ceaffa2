"""`lpse demo`: build videos with known contents, curate them, and say what was found of what was planted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from manifests.store import Corpus
from manifests.time import Segment

from ..demo.findings import PLANTED_LABELS, Finding, findings
from ..demo.material import build_material


def run_demo(
    folder: Path,
    curate: Callable[[Sequence[Path], Path], object],
    report: Callable[[Path], Path],
    console: Console,
) -> Path:
    """Build the material in `folder`, curate it into `folder`/corpus, show the findings, name the report.

    `curate(sources, corpus)` does what `lpse curate` does; `report(corpus)` what `lpse report` does, and it
    returns the page. Raises app.demo.sounds.DemoError, one line, where the material cannot be had.
    """
    console.print(f"Building the demo's videos in {folder} (kept for the next time)")
    material = build_material(folder, say=lambda line: console.print(f"  {line}"))
    corpus = folder / "corpus"
    curate([material.media], corpus)
    console.print(found_of_planted(findings(Corpus.open(corpus), material.planted)))
    page = report(corpus)
    console.print(f"What lies in each video, and from where: {folder / 'truth.jsonl'}, {folder / 'LICENSES.txt'}")
    console.print(f"[bold]Open the report:[/bold] {page}", soft_wrap=True)
    return page


def found_of_planted(rows: Sequence[Finding]) -> Table:
    """The findings as a table; below it, what slipped into accepted cuts."""
    accepted = sum(cut.duration for row in rows for cut in row.accepted)
    contaminated = sum(row.contaminated_seconds for row in rows)
    table = Table(
        title="Planted and found",
        caption=f"planted speech or music in accepted cuts: {contaminated:.1f} of {accepted:.0f} s\n"
        "+ is time where nothing was planted",
    )
    table.add_column("video", no_wrap=True)
    for label in PLANTED_LABELS:
        table.add_column(f"{label} found", no_wrap=True)
    table.add_column("cuts", no_wrap=True)
    for row in rows:
        lines = [(cut.start, f"{_clock(cut)} accept") for cut in row.accepted]
        lines += [(cut.start, f"{_clock(cut)} review") for cut in row.review]
        cuts = [line for _, line in sorted(lines)] + [reason.replace("_", " ") for reason in row.dropped]
        shares = [_share(row, label) for label in PLANTED_LABELS]
        table.add_row(row.file.removesuffix(".mp4"), *shares, "\n".join(cuts))
    return table


def _share(row: Finding, label: str) -> str:
    share = row.found_share(label)
    elsewhere = (row.found[label] - row.planted[label]).duration
    parts = [] if share is None else [f"{100 * share:.0f} % of {row.planted[label].duration:.0f} s"]
    return "\n".join([*parts, f"+ {elsewhere:.0f} s"] if elsewhere >= 0.5 else parts)


def _clock(cut: Segment) -> str:
    ends = (f"{int(seconds // 60)}:{int(seconds % 60):02d}" for seconds in (cut.start, cut.end))
    return "–".join(ends)
