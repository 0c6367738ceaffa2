"""The demo's order of work, and that what it prints is what was found."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from app.commands import demo
from app.demo.findings import Finding
from app.demo.material import Material, Planted
from manifests.store import Corpus
from manifests.time import Segment, Timeline


def test_the_demo_builds_then_curates_then_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    material = Material(tmp_path / "media", (Planted("a.mp4", 1.0, 2.0, "speech", "sample"),))
    monkeypatch.setattr(demo, "build_material", lambda folder, on_line: material)
    done: list[str] = []

    def curate(sources: Sequence[Path], corpus: Path) -> None:
        assert list(sources) == [tmp_path / "media"]
        Corpus.create(corpus)
        done.append("curate")

    def report(corpus: Path) -> Path:
        assert done == ["curate"]
        done.append("report")
        return corpus / "reports" / "report.html"

    console = Console(file=io.StringIO(), width=100)
    page = demo.run_demo(tmp_path, curate, report, console)
    assert done == ["curate", "report"]
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines()[-1] == f"Open the report: {page}"


def test_the_table_says_what_was_found_and_what_slipped_through() -> None:
    yard = Finding(
        file="yard.mp4",
        planted={"speech": Timeline([Segment(88, 108)]), "music": Timeline()},
        found={"speech": Timeline([Segment(92, 112)]), "music": Timeline([Segment(10, 11)])},
        accepted=(Segment(5, 90), Segment(115.4, 180)),
        review=(Segment(90, 115.4),),
        dropped=(),
    )
    nothing = {"speech": Timeline(), "music": Timeline()}
    notes = Finding("notes.mp4", nothing, nothing, accepted=(), review=(), dropped=("not_media",))
    console = Console(file=io.StringIO(), width=80)
    console.print(demo.found_of_planted([yard, notes]))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    cells = [line.split("│")[1:-1] for line in text.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in cells] == [
        ["yard", "80 % of 20 s", "+ 1 s", "0:05–1:30 accepted"],
        ["", "+ 4 s", "", "1:30–1:55 for review"],
        ["", "", "", "1:55–3:00 accepted"],
        ["notes", "", "", "not media"],
    ]
    assert "planted speech or music in accepted cuts: 2.0 of 150 s" in text
    assert max(map(len, text.splitlines())) <= 80
