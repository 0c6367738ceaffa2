"""What the tests of the pages for finding read off a page, and the rows that they put into a corpus."""

from __future__ import annotations

import json
from dataclasses import replace

from manifests.identity import cut_id
from manifests.records import Cut
from manifests.store import Corpus
from manifests.time import to_ms
from tests.support.browser import Page

_ROWS = '[...document.querySelectorAll(".lpse-table tbody tr")]'
SHOWN = '(document.querySelector(".lpse-range-shown")?.innerText ?? "")'


def rows(page: Page) -> list[str]:
    """The ids of the rows in the table."""
    return list(page.run(f"{_ROWS}.map((row) => row.dataset.id)"))


def column(page: Page, title: str) -> list[str]:
    """What the table says below a title."""
    head = '[...document.querySelectorAll(".lpse-table th")].findIndex((e) => e.innerText.trim().startsWith(%s))'
    place = page.run(head % json.dumps(title))
    assert place >= 0, f"no column {title}"
    return list(page.run(f"{_ROWS}.map((row) => row.children[{place}].innerText.trim())"))


def wait_rows(page: Page, count: int, total: int | None = None) -> None:
    """Wait until the table has so many rows, of so many in all."""
    said = "" if total is None else f" && {SHOWN}.endsWith({json.dumps(f'of {total:,}')})"
    page.wait_for(f"{_ROWS}.length === {count}{said}")


def choose(page: Page, facet: str, value: str) -> None:
    """Tick a value in the panel, or take the tick away."""
    box = f'document.querySelector(\'[data-facet="{facet}"][data-value="{value}"]\')'
    page.wait_for(f"!!{box}")
    page.run(f"{box}.click()")


def type_into(page: Page, key: str, text: str) -> None:
    """Write into a field of the panel and leave it."""
    field = f"document.querySelector('.lpse-panel [data-key={json.dumps(key)}]')"
    page.wait_for(f"!!{field}")
    events = "".join(f"field.dispatchEvent(new Event('{name}', {{bubbles: true}}));" for name in ("input", "change"))
    page.run(f"{{const field = {field}; field.focus(); field.value = {json.dumps(text)}; {events}}}")


def press(page: Page, *keys: str) -> None:
    """Press keys where the focus is."""
    for key in keys:
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        page.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        page.call("Input.dispatchKeyEvent", type="keyUp", key=key)


def outside(page: Page, address: str) -> list[str]:
    """The addresses asked for since the visit that are not the app's own."""
    own = (address, address.replace("http", "ws", 1), f"blob:{address}", "data:")
    return [url for url in page.requested if not url.startswith(own)]


def complaints(page: Page) -> list[str]:
    """What the browser complained of, but for Streamlit's looking for its server below the page's own address."""
    return [one for one in page.complaints if "404 (Not Found)" not in one]


def add_cuts(corpus: Corpus, count: int) -> list[Cut]:
    """Put `count` short cuts beside each other into the corpus, of risks that differ; gives them all."""
    known = list(corpus.rows(Cut))
    pattern = known[0]
    made = []
    for number in range(count):
        start, end = number * 0.5, number * 0.5 + 0.5
        name = cut_id(pattern.recording_id, to_ms(start), to_ms(end))
        made.append(
            replace(pattern, cut_id=name, start=start, end=end, decision="accept", reasons=(), risk=number / 1000)
        )
    corpus.replace("cuts", [*known, *made])
    return [*known, *made]
