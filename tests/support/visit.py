"""Visits of the review app's pages in a real browser."""

from __future__ import annotations

import json

from tests.support.browser import Page

TEXT = 'document.querySelector(".stApp").innerText'


KEYS: dict[str, str] = {}
"""The keys of the apps that tests started, by address."""


def open_page(page: Page, address: str, name: str = "", *, width: int = 1280, scheme: str = "light") -> None:
    """Go to a page of the app and wait until Streamlit has drawn it."""
    page.size(width, scheme=scheme)
    page.visit(with_key(address, name))
    wait_drawn(page)


def with_key(address: str, name: str = "") -> str:
    """The address of a page with the app's key."""
    return f"{address}/{name}{'&' if '?' in name else '?'}key={KEYS[address]}"


def cookie(address: str) -> str:
    """The cookie by which the app knows a browser that came with the key."""
    return f"lpse_review_{address.rpartition(':')[2]}={KEYS[address]}"


def wait_drawn(page: Page) -> None:
    """Wait until the script has run: nothing is drawn any more."""
    page.wait_for(
        "!!document.querySelector('.stApp[data-test-script-state=\"notRunning\"]')"
        " && !!document.querySelector('[data-testid=\"stMain\"]')"
    )


def wait_text(page: Page, text: str) -> None:
    """Wait until the page shows a text."""
    page.wait_for(f"{TEXT}.includes({json.dumps(text)})")


def click_text(page: Page, text: str, within: str = "button, a, label, [role=tab], [role=option]") -> None:
    """Click what says exactly this, whatever icon stands before it."""
    says = f"(e) => e.innerText.trim().split('\\n').pop() === {json.dumps(text)}"
    found = f"[...document.querySelectorAll({json.dumps(within)})].find({says})"
    page.wait_for(f"!!{found}")
    page.run(f"{found}.click()")
