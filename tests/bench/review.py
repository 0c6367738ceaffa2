"""`make bench-review`: how long a curator waits for the review app, at 100,000 cuts, measured in Chromium.

A corpus is written by the tables' own writers; the app serves it; a browser that has been here before opens the pages
and filters, searches, sorts and turns pages. A wait ends when the rows that were asked for can be read on the page.
Asked are two seconds for a first page and half a second for a filter, on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from app.review import serving
from tests.bench.many_cuts import many_cuts

if TYPE_CHECKING:
    from tests.support.browser import Page

FIRST_PAGE, FILTER = 2.0, 0.5  # seconds, as asked
# looked at in the page itself, so that the asking costs nothing
_WATCH = """new Promise((done, fail) => {{
  const start = performance.now(), end = setTimeout(() => fail(new Error("never came true: " + {said})), 30000);
  const drawn = () => (clearTimeout(end), done((performance.now() - start) / 1000));
  const look = () => requestAnimationFrame(({condition}) ? drawn : look);
  {action};
  look();
}})"""
_ROWS = 'document.querySelectorAll(".lpse-table tbody tr").length'
_SHOWN = '(document.querySelector(".lpse-range-shown")?.innerText ?? "")'
_DRAWN = {
    "Overview": 'document.querySelectorAll(".lpse-charts figure").length > 8',
    "Browse": f"{_ROWS} === 50",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    from tests.support.browser import Page

    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.exit("this bench drives Chromium: install it, or name the program with CHROMIUM=...")
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        corpus = many_cuts(Path(folder) / "corpus", options.cuts)
        print(f"{options.cuts:,} cuts written in {time.perf_counter() - start:.1f} s; {os.cpu_count()} cores")
        start = time.perf_counter()
        with serving(corpus) as running:
            print(f"the server is up after {time.perf_counter() - start:.1f} s")
            page = Page(program, Path(folder) / "profile")
            try:
                page.visit(running.entry)
                measure(page, running.address, options.rounds)
            finally:
                page.close()


def measure(page: Page, address: str, rounds: int) -> None:
    """Print what each step took, its median over the rounds and its longest, beside what was asked."""
    print(f"\n{'':44}{'median':>8}{'longest':>9}{'asked':>8}")
    report("Browse, the browser's and the app's first visit", [opened(page, address, "browse", "Browse")], FIRST_PAGE)
    for name, path in (("Overview", ""), ("Browse", "browse")):
        report(f"{name}, opened", [opened(page, address, path, name) for _ in range(rounds)], FIRST_PAGE)

    def box(facet: str, value: str) -> str:
        return f'document.querySelector(\'[data-facet="{facet}"][data-value="{value}"]\').click()'

    everything = total(page)
    steps: list[tuple[str, Callable[[int], str]]] = [
        ("Browse, filter by decision", lambda _: box("decisions", "review")),
        ("Browse, filter by a reason beside it", lambda _: box("reasons", "clipping")),
        ("Browse, take the reason away", lambda _: box("reasons", "clipping")),
        ("Browse, take the decision away", lambda _: box("decisions", "review")),
    ]
    waits: dict[str, list[float]] = {name: [] for name, _ in steps}
    for number in range(rounds):
        for name, action in steps:
            waits[name].append(changed(page, action(number)))
    assert total(page) == everything, (total(page), everything)
    for name, found in waits.items():
        report(name, found, FILTER)
    sort = "document.querySelector('[data-sort=seconds]').click()"
    report("Browse, sort", [changed(page, sort, first_row()) for _ in range(rounds)], FILTER)
    turn = "document.querySelector('[data-step=next]').click()"
    report("Browse, next page", [changed(page, turn) for _ in range(rounds)], FILTER)
    report("Browse, search (0.15 s of it waits for typing to end)", searched(page, rounds), FILTER)
    page.visit(f"{address}/")
    page.wait_for(_DRAWN["Overview"])
    count = 'document.querySelector(".lpse-parts")?.innerText'
    found = [changed(page, box("decisions", "review"), count) for _ in range(2 * rounds)]
    report("Overview, filter by decision", found, FILTER)


def opened(page: Page, address: str, path: str, name: str) -> float:
    """Seconds from asking for the address to the page's contents."""
    page.call("Page.navigate", url="about:blank")
    start = time.perf_counter()
    page.call("Page.navigate", url=f"{address}/{path}")
    page.wait_for(_DRAWN[name])
    return time.perf_counter() - start


def total(page: Page) -> str:
    """How many rows the table says there are."""
    return str(page.run(f'{_SHOWN}.split(" of ").pop()'))


def first_row() -> str:
    return '(document.querySelector(".lpse-table tbody tr")?.dataset.id ?? "")'


def changed(page: Page, action: str, what: str = _SHOWN) -> float:
    """Seconds from an action until something else is shown."""
    before = json.dumps(page.run(what))
    condition = f"{what} && {what} !== {before}"
    return float(page.run(_WATCH.format(action=action, condition=condition, said=json.dumps(what))))


def searched(page: Page, rounds: int) -> list[float]:
    found = []
    for text in [word for _ in range(rounds) for word in ("storm harbour", "")]:
        field = 'document.querySelector(".lpse-panel [data-key=text]")'
        typed = f"{field}.value = {json.dumps(text)}; {field}.dispatchEvent(new Event('input'))"
        found.append(changed(page, typed))
    return found


def report(name: str, waits: list[float], asked: float) -> None:
    median, longest = statistics.median(waits), max(waits)
    said = "" if median <= asked else "  missed"
    print(f"{name:<54}{median:>6.2f} s{longest:>7.2f} s{asked:>6.1f} s{said}")


if __name__ == "__main__":
    main()
