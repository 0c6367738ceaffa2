"""The page "Overview" in a real browser: its figures are those of the corpus, filtered as Browse is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.display.text import long_clock, outcome_title
from curation.catalog.accounting import read_account
from manifests.records import Cut
from manifests.store import Corpus
from tests.support.browser import Page
from tests.support.finding_cases import choose, complaints, outside, press
from tests.support.visit import open_page, wait_text

Served = Callable[[Corpus], str]
_PARTS = (
    "Object.fromEntries([...document.querySelectorAll('.lpse-parts tr')]"
    ".map((row) => [row.children[0].innerText.trim(), row.children[1].innerText]))"
)
_TITLES = "[...document.querySelectorAll('.lpse-charts h2')].map((e) => e.innerText)"


def test_the_hours_are_those_of_the_account(review_corpus: Corpus, served: Served, page: Page) -> None:
    account = read_account(review_corpus)
    address = served(review_corpus)
    open_page(page, address)
    wait_text(page, "Recorded time by outcome")
    wait_text(page, f"{account.recordings} recordings, {long_clock(account.duration)}")
    shown = page.run(_PARTS)
    for outcome, seconds in account.seconds.items():
        if seconds:
            assert shown[outcome_title(outcome)] == long_clock(seconds), outcome
    titles = page.run(_TITLES)
    assert titles[:4] == [
        "Recorded time by outcome",
        "Yield against risk",
        "Dropped, by reason",
        "Cuts for review, by reason",
    ]
    assert {"Loudness", "Bandwidth", "Clipped samples"} <= set(titles)
    wait_text(page, "Too short, or beside an event")
    wait_text(page, "The recipe accepts from -60.0 LUFS up to 0.0 LUFS.")
    assert outside(page, address) == []
    assert complaints(page) == []


def test_filters_change_every_figure(review_corpus: Corpus, served: Served, page: Page) -> None:
    open_page(page, served(review_corpus))
    wait_text(page, "Recorded time by outcome")
    choose(page, "decisions", "review")
    waiting = [cut for cut in review_corpus.rows(Cut) if cut.decision == "review"]
    wait_text(page, f"{len(waiting)} cuts match the filters")
    page.wait_for('location.search === "?decisions=review"')
    page.wait_for("!document.querySelector('.lpse-line + .lpse-bound, .lpse-plot .lpse-dot')")


def test_the_curve_is_read_with_the_keys(review_corpus: Corpus, served: Served, page: Page) -> None:
    open_page(page, served(review_corpus))
    page.wait_for("!!document.querySelector('.lpse-plot[role=slider]')")
    accepted = [cut for cut in review_corpus.rows(Cut) if cut.decision == "accept"]
    wait_text(page, f"Accepted: {long_clock(sum(cut.segment.duration for cut in accepted))}")
    page.run("document.querySelector('.lpse-plot[role=slider]').focus()")
    press(page, *["ArrowRight"] * 2)
    page.wait_for("document.querySelector('.lpse-readout').innerText.startsWith('risk up to 0.')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 1440])
def test_nothing_is_cut_off(review_corpus: Corpus, served: Served, page: Page, scheme: str, width: int) -> None:
    address = served(review_corpus)
    for name in ("", "browse"):
        open_page(page, address, name, width=width, scheme=scheme)
        page.wait_for("!!document.querySelector('.lpse-charts figure, .lpse-table tbody tr')")
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
        inside = "[...document.querySelectorAll('.lpse-scroll, .lpse-charts figure')]"
        assert page.run(f"{inside}.every((e) => e.scrollWidth <= e.clientWidth + 1)"), (name, width)
        assert page.run("document.querySelector('.lpse').dataset.scheme") == scheme
        # text on its ground, by the contrast that WCAG asks of small text
        assert page.run(_CONTRAST) >= 4.5, (name, scheme)


_CONTRAST = """(() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = (colour) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
      .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
    return "white";
  };
  const words = ".lpse h2, .lpse td, .lpse th, .lpse-soft, .lpse-below, .lpse-count, .lpse-keys";
  const ratios = [...document.querySelectorAll(words)]
    .filter((e) => e.innerText.trim() && !e.closest(".lpse-none")).map((e) => {
      const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05);
    });
  return Math.min(...ratios);
})()"""


def test_a_corpus_without_a_decision_says_what_to_do(tmp_path: Path, served: Served, page: Page) -> None:
    corpus = Corpus.create(tmp_path / "new")
    address = served(corpus)
    for name in ("", "browse"):
        open_page(page, address, name)
        wait_text(page, "Nothing to review yet")
        wait_text(page, f"lpse curate FOLDER --corpus {corpus.path}")


def test_a_corpus_that_went_away_is_said_in_a_line(review_corpus: Corpus, served: Served, page: Page) -> None:
    address = served(review_corpus)
    (review_corpus.path / "corpus.toml").rename(review_corpus.path / "gone.toml")
    open_page(page, address)
    wait_text(page, "This page cannot be shown")
    wait_text(page, "not a corpus, it has no corpus.toml")
    (review_corpus.path / "gone.toml").rename(review_corpus.path / "corpus.toml")
    open_page(page, address)
    wait_text(page, "Recorded time by outcome")
