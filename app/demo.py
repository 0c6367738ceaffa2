"""`lpse demo`: build videos with known contents, curate them, and say what was found of what was planted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from curation.demo import build_material
from curation.demo_findings import PLANTED_LABELS, Finding, findings
from manifests.store import Corpus
from manifests.time import Segment

DEFAULT_FOLDER = Path("lpse-demo")


def run_demo(
    folder: Path,
    curate: Callable[[Sequence[Path], Path], object],
    report: Callable[[Path], Path],
    console: Console,
) -> Path:
    """Build the material in `folder`, curate it into `folder`/corpus, show the findings, name the report.

    `curate(sources, corpus)` does what `lpse curate` does; `report(corpus)` what `lpse report` does, and it
    returns the page. Raises curation.demo_sounds.DemoError, one line, where the material cannot be had.
    """
    console.print(f"Building the demo's videos in {folder} (kept for the next time)")
    material = build_material(folder, say=lambda line: console.print(f"  {line}"))
    corpus = folder / "corpus"
    curate([material.media], corpus)
    console.print(found_of_planted(findings(Corpus.open(corpus), material.planted)))
    page = report(corpus)
    console.print(
        f"What lies in each video, and from where: {folder / 'truth.jsonl'}, {folder / 'LICENSES.txt'}"
    )
    console.print(f"[bold]Open the report:[/bold] {page}", soft_wrap=True)
    return page


def found_of_planted(rows: Sequence[Finding]) -> Table:
    """The findings as a table, with the contaminated seconds of all accepted cuts below."""
    accepted = sum(cut.duration for row in rows for cut in row.accepted)
    contaminated = sum(row.contaminated_seconds for row in rows)
    table = Table(
        title="Planted and found",
        caption=f"planted speech or music in accepted cuts: {contaminated:.1f} of {accepted:.0f} s",
    )
    for column in ("file", *(f"{label}: planted, found" for label in PLANTED_LABELS)):
        table.add_column(column)
    for column in ("accepted cuts", "for review", "dropped for"):
        table.add_column(column)
    for row in rows:
        shares = [_share(row, label) for label in PLANTED_LABELS]
        table.add_row(row.file, *shares, _spans(row.accepted), _spans(row.review), "\n".join(row.dropped))
    return table


def _share(row: Finding, label: str) -> str:
    share = row.found_share(label)
    elsewhere = (row.found[label] - row.planted[label]).duration
    lines = [] if share is None else [f"{row.planted[label].duration:.0f} s, {100 * share:.0f} %"]
    return "\n".join([*lines, f"{elsewhere:.0f} s elsewhere"] if elsewhere >= 0.5 else lines)


def _spans(cuts: Sequence[Segment]) -> str:
    return "\n".join(f"{_clock(cut.start)} to {_clock(cut.end)}" for cut in cuts)


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
