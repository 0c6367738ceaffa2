"""The page "inspect" in a real browser, and the app that shows it as a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.records import Cut, Verdict
from manifests.store import Corpus
from tests.support.browser import Page
from tests.support.visit import KEYS, with_key

# the player is in a shadow tree, which `document` does not search
ROOT = '[...document.querySelectorAll("*")].map((e) => e.shadowRoot).find((r) => r?.querySelector(".player"))'


@contextmanager
def app_of(corpus: Path) -> Iterator[str]:
    """`lpse review` on a corpus: its address."""
    start = [sys.executable, "-u", "-c", "from app.cli import main; main()"]
    command = [*start, "review", "--corpus", str(corpus), "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "http://" in line, line
            address, key = line.partition("Review ")[2].split(": ")[1].split()[0].split("/?key=")
            KEYS[address] = key
            yield address
        finally:
            process.terminate()


def fresh(source: Path, folder: Path) -> Corpus:
    """A fresh copy of the curated folder at a place that stays the same."""
    for part in ("media", "corpus"):
        shutil.rmtree(folder / part, ignore_errors=True)
        # an app that shows it may be making something in it at this very moment
        shutil.copytree(source / part, folder / part, dirs_exist_ok=True)
    settings = folder / "corpus" / "corpus.toml"
    settings.write_text(settings.read_text().replace(str(source), str(folder)))
    return Corpus.open(folder / "corpus")


@dataclass(frozen=True)
class Player:
    """The player on the open page."""

    page: Page

    def run(self, code: str) -> Any:
        """The value of a JavaScript expression in which `root` is the player's shadow tree."""
        return self.page.run(f"((root) => {code})({ROOT})")

    def wait(self, code: str) -> None:
        """Until it is true."""
        self.page.wait_for(f"((root) => !!root && !!({code}))({ROOT})")

    def click(self, selector: str, text: str = "") -> None:
        """Click the first of those that hold the text, once it is there and can be clicked."""
        found = (
            f"[...root.querySelectorAll({json.dumps(selector)})].find((e) => e.innerText.includes({json.dumps(text)}))"
        )
        self.wait(f"{found} && !{found}.disabled")
        self.run(f"{found}.click()")

    def key(self, key: str, *, shift: bool = False) -> None:
        """Press a key, as a keyboard does."""
        text = key if len(key) == 1 else ""
        down = {"key": key, "code": "", "modifiers": 8 if shift else 0}
        self.page.call("Input.dispatchKeyEvent", type="keyDown", text=text, **down)
        self.page.call("Input.dispatchKeyEvent", type="keyUp", **down)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press at one place of the window, move to the other, release."""
        call = self.page.call
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        call("Input.dispatchMouseEvent", type="mousePressed", x=start[0], y=start[1], button="left", clickCount=1)
        for x, y in (middle, end):
            call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
        call("Input.dispatchMouseEvent", type="mouseReleased", x=end[0], y=end[1], button="left", clickCount=1)

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of an element in the window, scrolled into it."""
        code = (
            f"(() => {{ const e = root.querySelector({json.dumps(selector)}); e.scrollIntoView({{ block: 'nearest' }});"
        )
        code += " const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
        left, top, width, height = self.run(code)
        return left, top, width, height

    @property
    def time(self) -> float:
        """Where the media element is, in seconds."""
        return float(self.run('root.querySelector(".film").currentTime'))

    @property
    def text(self) -> str:
        """All that the player says."""
        return str(self.run("root.querySelector('.player').innerText"))


def open_player(
    page: Page, address: str, recording_id: str, at: float = 0.0, *, width: int = 1280, scored: bool = True
) -> Player:
    """Open a recording and wait until it could be played and, if it was `scored`, its tracks are drawn."""
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    page.visit("about:blank")
    page.visit(with_key(address, f"inspect?recording={recording_id}&t={at}"))
    player = Player(page)
    player.wait('root.querySelector(".film")?.readyState >= 2 && root.querySelector("canvas[data-drawn]")')
    if scored:
        player.wait('root.querySelector(".name.fused output")')
    return player


def verdicts(corpus: Corpus) -> list[Verdict]:
    """All rows, the oldest first."""
    rows = list(corpus.rows(Verdict))
    return sorted(rows, key=lambda row: row.made_at)


def cuts_of(corpus: Corpus, recording_id: str) -> list[Cut]:
    """The recording's cuts in order of time."""
    rows: list[Cut] = [row for row in corpus.rows(Cut) if row.recording_id == recording_id]
    return sorted(rows, key=lambda row: row.start)
