"""The page "Browse" in a real browser: filters, search, sort, pages, keys, and the way to Inspect."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import WebSocketRoute

from app.display.spreadsheet import as_csv
from app.review import filter_panel
from app.review.pages import browse
from app.review.pages.browse import _parquet
from curation.catalog.catalog import Catalog
from curation.catalog.filters import Filter
from manifests.records import Cut, Recording, Source
from manifests.store import Corpus
from tests.support.browser import Page
from tests.support.finding_cases import add_cuts, choose, column, complaints, outside, press, rows, type_into, wait_rows
from tests.support.visit import click_text, open_page, wait_drawn, wait_text

Served = Callable[[Corpus], str]
NASTY = "<img src=x onerror=\"document.title='owned'\"> **bold** $x^2$ \u202egnp.exe\n"


def test_filters_narrow_the_table_and_stand_in_the_address(review_corpus: Corpus, served: Served, page: Page) -> None:
    cuts = list(review_corpus.rows(Cut))
    waiting = {cut.cut_id for cut in cuts if cut.decision == "review"}
    assert waiting and len(waiting) < len(cuts)
    address = served(review_corpus)
    open_page(page, address, "browse")
    wait_rows(page, len(cuts), len(cuts))
    choose(page, "decisions", "review")
    wait_rows(page, len(waiting), len(waiting))
    assert set(rows(page)) == waiting
    assert set(column(page, "Decision")) == {"For review"}
    page.wait_for('location.search === "?decisions=review"')

    # what the address says is what a colleague sees who opens it
    open_page(page, address, "browse?decisions=review")
    wait_rows(page, len(waiting), len(waiting))
    assert page.run("document.querySelector('[data-facet=decisions][data-value=review]').checked")
    choose(page, "decisions", "accept")
    wait_rows(page, len(cuts), len(cuts))
    page.run("document.querySelector('[data-key=clear]').click()")
    page.wait_for('location.search === ""')
    assert not page.run("document.querySelectorAll('[data-facet]:checked').length")
    assert outside(page, address) == []
    assert complaints(page) == []


def test_filters_stay_from_page_to_page(review_corpus: Corpus, served: Served, page: Page) -> None:
    open_page(page, served(review_corpus), "browse")
    choose(page, "decisions", "review")
    page.wait_for('location.search === "?decisions=review"')
    click_text(page, "Overview")
    wait_text(page, "Recorded time by outcome")
    page.wait_for('location.search === "?decisions=review"')
    click_text(page, "Browse")
    waiting = [cut for cut in review_corpus.rows(Cut) if cut.decision == "review"]
    wait_rows(page, len(waiting), len(waiting))


def test_words_and_numbers_are_searched_for(review_corpus: Corpus, served: Served, page: Page) -> None:
    finder = Catalog(review_corpus)
    open_page(page, served(review_corpus), "browse")
    wait_rows(page, finder.cuts(Filter()).num_rows)
    found = finder.cuts(Filter(text="POND"))["cut_id"].to_pylist()
    assert found
    type_into(page, "text", "POND")
    wait_rows(page, len(found), len(found))
    assert rows(page) == found
    type_into(page, "text", "")
    wait_rows(page, finder.cuts(Filter()).num_rows)
    risky = finder.cuts(Filter(risk=(0.5, float("inf"))))["cut_id"].to_pylist()
    type_into(page, "risk 0", "0.5")
    wait_rows(page, len(risky))
    assert rows(page) == risky
    type_into(page, "risk 1", "0.1")
    wait_text(page, "the first must not be the larger")
    assert rows(page) == risky  # what cannot be asked changes nothing
    type_into(page, "risk 0", "")
    type_into(page, "risk 1", "")
    type_into(page, "text", "no such word")
    wait_text(page, "No row matches all filters")


@pytest.fixture
def held(page: Page) -> list[bool]:
    """`[True]` while the messages of the server wait in front of the browser."""
    hold, waiting = [False], []

    def route(browser: WebSocketRoute) -> None:
        server = browser.connect_to_server()
        browser.on_message(server.send)

        def on_answer(message: str | bytes) -> None:
            waiting.append(message)
            while waiting and not hold[0]:
                browser.send(waiting.pop(0))

        server.on_message(on_answer)

    page._tab.route_web_socket("**/_stcore/stream", route)
    return hold


def test_a_change_is_not_lost_while_the_answer_to_another_is_on_its_way(
    review_corpus: Corpus, served: Served, page: Page, held: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Filter] = []

    def write_address(filter: Filter, **more: str) -> None:
        filter_panel.write_address(filter, **more)
        written.append(filter)

    monkeypatch.setattr(browse, "write_address", write_address)
    pond = Catalog(review_corpus).cuts(Filter(text="pond"))["cut_id"].to_pylist()
    risky = Catalog(review_corpus).cuts(Filter(risk=(0.5, float("inf"))))["cut_id"].to_pylist()
    assert pond and set(pond) != set(risky)
    open_page(page, served(review_corpus), "browse?risk=0.5..inf")
    wait_rows(page, len(risky))
    held[0] = True
    for key, text in (("risk 0", ""), ("text", "pond")):
        runs = len(written)
        type_into(page, key, text)
        until = time.monotonic() + 20
        while len(written) == runs:  # the page has run, and written an address that the browser does not know yet
            assert time.monotonic() < until
            page._tab.wait_for_timeout(20)
    assert "risk=" in page.run("location.search")
    assert written[-1] == Filter(text="pond")
    held[0] = False
    type_into(page, "seconds 0", "1")  # any answer lets the others through
    page.wait_for(
        f"JSON.stringify([...document.querySelectorAll('.lpse-table tbody tr')].map((row) => row.dataset.id))"
        f" === JSON.stringify({pond})"
    )
    assert page.run("document.querySelector('.lpse-panel [data-key=text]').value") == "pond"


def test_an_answer_takes_no_typed_text_away(
    review_corpus: Corpus, served: Served, page: Page, held: list[bool]
) -> None:
    open_page(page, served(review_corpus), "browse")
    wait_rows(page, review_corpus.table("cuts").count())
    # the words are sent late: their answer must not be the one that keeps them
    page.run("{ const wait = setTimeout; window.setTimeout = (f, ms) => wait(f, ms === 150 ? 3000 : ms); }")
    field = """document.querySelector('.lpse-panel [data-key="%s"]')"""
    for key, text in (("text", "pond"), ("risk 0", "0.01")):
        page.run(
            f"{{ const field = {field % key}; field.focus(); field.value = {text!r};"
            " field.dispatchEvent(new Event('input')); }"
        )
    choose(page, "decisions", "review")  # its answer arrives while both are typed and neither is sent
    page.wait_for('location.search.includes("decisions=review")')
    page.wait_for("!!document.querySelector('.stApp[data-test-script-state=\"notRunning\"]')")
    assert page.run(f"{field % 'text'}.value") == "pond"
    assert page.run(f"{field % 'risk 0'}.value") == "0.01"
    page.wait_for('location.search.includes("text=pond")')


def test_the_head_sorts_and_pages_turn(review_corpus: Corpus, served: Served, page: Page) -> None:
    cuts = add_cuts(review_corpus, 120)
    open_page(page, served(review_corpus), "browse")
    wait_rows(page, 50, len(cuts))
    by_risk = [cut.cut_id for cut in sorted(cuts, key=lambda cut: (-round(cut.risk, 4), cut.cut_id))]
    assert rows(page) == by_risk[:50]
    page.run("document.querySelector('[data-step=next]').click()")
    wait_text(page, f"51–100 of {len(cuts)}")
    assert rows(page) == by_risk[50:100]
    page.run("document.querySelector('[data-step=last]').click()")
    wait_text(page, f"101–{len(cuts)} of {len(cuts)}")
    assert rows(page) == by_risk[100:]
    page.run("document.querySelector('[data-sort=risk]').click()")
    wait_text(page, f"1–50 of {len(cuts)}")  # another order begins at its beginning
    page.wait_for("document.querySelector('th[aria-sort]')?.getAttribute('aria-sort') === 'ascending'")
    smallest_first = sorted(cuts, key=lambda cut: (round(cut.risk, 4), cut.cut_id))
    assert rows(page) == [cut.cut_id for cut in smallest_first[:50]]


def test_keys_walk_the_rows_and_enter_inspects(review_corpus: Corpus, served: Served, page: Page) -> None:
    cuts = add_cuts(review_corpus, 60)
    open_page(page, served(review_corpus), "browse")
    wait_rows(page, 50, len(cuts))
    page.run("document.querySelector('.lpse-table tbody tr').focus()")
    focused = "Number(document.activeElement.dataset.place)"
    for keys, place in (
        (["ArrowDown", "ArrowDown"], 2),
        (["k"], 1),
        (["j", "End"], 49),
        (["ArrowDown"], 49),
        (["Home"], 0),
    ):
        press(page, *keys)
        assert page.run(focused) == place
    press(page, "ArrowRight")
    wait_text(page, f"51–{len(cuts)} of {len(cuts)}")
    page.wait_for(f"{focused} === 0")  # the keys stay with the table when its page turns
    press(page, "ArrowLeft")
    wait_text(page, f"1–50 of {len(cuts)}")
    press(page, "/")
    page.wait_for("document.activeElement.dataset.key === 'text'")
    page.run("document.querySelector('.lpse-table tbody tr').focus()")
    press(page, "ArrowDown", "Enter")
    page.wait_for("location.pathname === '/inspect'")
    wait_drawn(page)  # a server that ends within a run of the script leaves things behind


def test_a_click_on_a_row_inspects_it(review_corpus: Corpus, served: Served, page: Page) -> None:
    open_page(page, served(review_corpus), "browse")
    page.wait_for("!!document.querySelector('.lpse-table tbody tr')")
    link = page.run("document.querySelector('.lpse-table .lpse-title').getAttribute('href')")
    riskiest = max(review_corpus.rows(Cut), key=lambda cut: cut.risk)
    assert link == f"inspect?recording={riskiest.recording_id}&t={riskiest.start:g}"
    page.run("document.querySelector('.lpse-table tbody tr').click()")
    page.wait_for("location.pathname === '/inspect'")
    wait_drawn(page)  # a server that ends within a run of the script leaves things behind


def test_recordings_are_listed_with_what_became_of_them(review_corpus: Corpus, served: Served, page: Page) -> None:
    open_page(page, served(review_corpus), "browse?list=recordings")
    recordings = list(review_corpus.rows(Recording))
    wait_rows(page, len(recordings), len(recordings))
    assert set(rows(page)) == {one.recording_id for one in recordings}
    assert "too short" in column(page, "Dropped for")
    assert page.run("location.search") == "?list=recordings"
    type_into(page, "text", "too-short")
    wait_rows(page, 1, 1)
    click_text(page, "Cuts")
    wait_text(page, "No row matches all filters")


def test_what_a_corpus_holds_is_shown_as_text(review_corpus: Corpus, served: Served, page: Page) -> None:
    sources = list(review_corpus.rows(Source))
    named = [replace(one, title=NASTY, channel=NASTY, licence=NASTY) for one in sources]
    review_corpus.replace("sources", named)
    address = served(review_corpus)
    for name in ("browse", "browse?list=recordings", ""):
        open_page(page, address, name)
        if name:
            wait_text(page, "<img src=x")
            title = page.run("document.querySelector('.lpse-title').innerText")
            assert title == NASTY.replace("\u202e", "\\u202e").replace("\n", "\\n")
        page.wait_for("!!document.querySelector('[data-key=\"fold channels\"]')")
        page.run("document.querySelector('[data-key=\"fold channels\"]').click()")
        wait_text(page, "<img src=x")
        assert page.run("document.querySelectorAll('.lpse img, .lpse strong').length") == 0
        assert "owned" not in page.run("document.title")


def test_an_address_that_asks_for_what_cannot_be_says_so(review_corpus: Corpus, served: Served, page: Page) -> None:
    open_page(page, served(review_corpus), "browse?risk=high&decisions=review")
    wait_text(page, "risk: 'high' must be two numbers")
    wait_rows(page, review_corpus.table("cuts").count())


def test_a_decision_elsewhere_is_seen_without_a_restart(review_corpus: Corpus, served: Served, page: Page) -> None:
    open_page(page, served(review_corpus), "browse")
    cuts = list(review_corpus.rows(Cut))
    wait_rows(page, len(cuts))
    review_corpus.replace("cuts", [replace(cuts[0], decision="reject", reasons=("listener_reject",))])
    choose(page, "decisions", "accept")
    choose(page, "decisions", "reject")
    wait_rows(page, 1, 1)
    assert column(page, "Reasons") == ["listener reject"]


def test_downloads_hold_the_rows_that_the_filters_show(review_corpus: Corpus) -> None:
    shown = Catalog(review_corpus).cuts(Filter(decisions=("review",)))
    assert pq.read_table(io.BytesIO(_parquet(shown))).equals(shown)
    read = list(csv.DictReader(io.StringIO(as_csv(shown).decode())))
    assert [row["cut_id"] for row in read] == shown["cut_id"].to_pylist()
    assert [row["reasons"].split() for row in read] == shown["reasons"].to_pylist()


@pytest.mark.parametrize(("text", "written"), [("=1+1", "'=1+1"), ("@x", "'@x"), ("-5", "'-5"), ("a=b", "a=b")])
def test_no_spreadsheet_runs_a_title(review_corpus: Corpus, text: str, written: str) -> None:
    sources = [replace(one, title=text) for one in review_corpus.rows(Source)]
    review_corpus.replace("sources", sources)
    shown = Catalog(review_corpus).cuts(Filter())
    assert {row["title"] for row in csv.DictReader(io.StringIO(as_csv(shown).decode()))} == {written}
