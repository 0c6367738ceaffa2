"""One quantity is written in one way: in the terminal, in the report, and on the pages of the review app."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from annotation.rounds.review import recording_state
from app.display.measures import MEASURES
from app.display.text import clock_range, long_clock, outcome_name, percent, plural
from app.report import write_report
from app.review.filter_panel import PEOPLE_NAMES
from app.review.pages import browse, overview
from app.review.player_data import player_data
from app.terminal.tables import show_summary
from curation.catalog.accounting import DECISIONS, read_account
from curation.catalog.catalog import Catalog
from curation.catalog.filters import PEOPLE, Filter
from curation.pipeline.result import CurationResult
from manifests.records import Cut
from manifests.store import Corpus


@pytest.fixture
def terminal(review_corpus: Corpus) -> str:
    console = Console(file=io.StringIO(), width=120)
    show_summary(CurationResult(read_account(review_corpus), {}, None, 0.0), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def report(review_corpus: Corpus, tmp_path: Path) -> str:
    page = write_report(review_corpus, tmp_path / "report.html", budget_bytes=0).read_text()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.split("<main>")[1]))


def test_outcomes_and_their_time(review_corpus: Corpus, terminal: str, report: str) -> None:
    account, catalog = read_account(review_corpus), Catalog(review_corpus)
    rows = {
        row["label"]: row for row in overview._outcomes(catalog.seconds_by_outcome(Filter()), catalog, Filter())["rows"]
    }
    assert plural(account.recordings, "recording") in terminal and plural(account.recordings, "recording") in report
    shown = 0
    for outcome, seconds in account.seconds.items():
        if not seconds:
            continue
        shown += 1
        name, time, share = outcome_name(outcome), long_clock(seconds), percent(seconds, account.duration)
        cells = [re.escape(name), r"[\d,]*" if outcome in DECISIONS else "", re.escape(time), re.escape(share)]
        assert re.search(r"│\s*" + r"\s*│\s*".join(cells) + r"\s*│", terminal), (outcome, terminal)
        assert re.search(r"\s+".join(filter(None, cells)), report) or re.search(
            rf"{re.escape(name)}\s+{re.escape(time)}\s+{re.escape(share)}", report
        ), (outcome, report)
        row = rows[name.capitalize()]
        assert (row["value"], row["percent"]) == (time, share)
    assert shown >= 4
    assert len(rows) == shown


def test_reasons_and_their_time(review_corpus: Corpus, terminal: str, report: str) -> None:
    charts = {chart["title"]: chart["rows"] for chart in overview._reasons(Catalog(review_corpus), Filter())}
    for row in charts["Dropped, by reason"]:
        for text in (terminal.replace("│", " "), report):
            assert re.search(rf"{row['label'].lower()}\s+{row['note']}\s+{row['value']}", text), row
    assert "Dropped" in terminal and "Dropped, by reason" in report


def test_decisions_and_times_of_cuts(review_corpus: Corpus, report: str) -> None:
    cut = next(iter(review_corpus.rows(Cut)))
    rows = Catalog(review_corpus).cuts(Filter(recording=cut.recording_id)).to_pylist()
    row = next(browse._cut(row) for row in rows if row["cut_id"] == cut.cut_id)
    names = player_data(review_corpus, recording_state(review_corpus, cut.recording_id), "ann", 0.0, 0)["names"]
    start, end = clock_range(cut.start, cut.end).split("–")
    assert row["span"] == f"{start}–{end}"
    assert row["label"].lower() == names[cut.decision] == outcome_name(cut.decision)
    assert f"{outcome_name(cut.decision)} {cut.cut_id} {start} {end} {row['seconds']}" in report


def test_measures_have_one_name(review_corpus: Corpus, report: str) -> None:
    titles = {chart["title"] for chart in overview._measures(Catalog(review_corpus), Filter(), None)}
    assert titles and titles <= {text.title for text in MEASURES.values()}
    assert all(title in report for title in titles)


def test_every_choice_has_a_name() -> None:
    assert set(PEOPLE_NAMES) == set(PEOPLE)
