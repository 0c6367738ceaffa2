"""A real browser for the pages that the app writes: the machine's Chromium, driven by Playwright."""

from __future__ import annotations

import atexit
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Error, Playwright, sync_playwright

_PATIENCE = 60.0  # seconds for one answer, on a busy machine
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
)


_started: list[Playwright] = []
"""Playwright of this process, which must not be started twice."""


def _playwright() -> Playwright:
    if not _started:
        _started.append(sync_playwright().start())
        atexit.register(_started[0].stop)
    return _started[0]


class Page:
    """One tab. Since the last `visit`: `complaints`, console errors and exceptions; `requested`, addresses."""

    def __init__(self, program: str, profile: Path) -> None:
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self._context = _playwright().chromium.launch_persistent_context(
            profile, executable_path=program, args=list(_FLAGS), no_viewport=True
        )
        self._context.set_default_timeout(1000 * _PATIENCE)
        self._tab = self._context.pages[0]
        self._protocol = self._context.new_cdp_session(self._tab)
        self._tab.on("console", self._note)
        self._tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self._tab.on("request", lambda request: self.requested.append(request.url))

    def open(self, path: Path, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Show a file in a window of that size, with the colours the system prefers."""
        self.size(width, height, scheme)
        self.visit(path.as_uri())

    def size(self, width: int, height: int = 900, scheme: str = "light") -> None:
        """Give the window a size in pixels, and the system a preference for light or dark colours."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def visit(self, url: str) -> None:
        """Go to an address and wait until its page has loaded."""
        for address in ("about:blank", url):  # the page that is left may complain yet, of a server that is gone
            self.complaints.clear()
            self.requested.clear()
            self._tab.goto(address, wait_until="load")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for. An exception fails the test."""
        return self._tab.evaluate(expression)

    def wait_for(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        deadline = time.monotonic() + _PATIENCE
        while not self._is_true(expression):
            assert time.monotonic() < deadline, f"never came true: {expression}"
            self._tab.wait_for_timeout(50)

    def _is_true(self, expression: str) -> bool:
        try:
            return bool(self.run(expression))
        except Error as error:
            if "context was destroyed" not in error.message:
                raise
            return False  # another page is on its way

    def call(self, method: str, **parameters: Any) -> Any:
        """One command of the browser's own protocol and its answer."""
        return self._protocol.send(method, parameters)

    def close(self) -> None:
        """End the browser."""
        self._context.close()

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self.complaints.append(f"{message.text} {message.location.get('url', '')}".rstrip())
