"""The player as Streamlit components: its content is data, never part of script or style."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from ...display.files import CLOCK, read_texts
from ..media import sound_url

_SCRIPTS = ("base.js", "view.js", "media.js", "sight.js", "tracks.js", "timeline.js", "desk.js", "player.js")
_read = partial(read_texts, "review/player")


def play(data: dict[str, Any], key: str, on_decide: Callable[[], None], on_go: Callable[[], None]) -> Any:
    """Show a recording (`app.review.player_data`); returns the values of the component.

    `decide`: {"action", "start_ms", "end_ms", "keep", "reasons", "comment", "go", "verdict_id"}; `go`: 1 or -1, to the
    next or the previous cut for review. The callbacks run before the page is drawn again.
    """
    player = st.components.v2.component(
        "lpse_player", css=_read("player.css"), js=read_texts(*CLOCK) + _read(*_SCRIPTS)
    )
    return player(key=key, data=data, on_decide_change=on_decide, on_go_change=on_go)


def listen(recording_id: str, start: float, end: float, key: str) -> None:
    """A small player of [start, end) seconds of a recording."""
    script = read_texts(*CLOCK) + _read("base.js", "media.js", "listen.js")
    small = st.components.v2.component("lpse_listen", css=_read("listen.css"), js=script)
    data = {"id": recording_id, "start": start, "end": end, "url": sound_url(recording_id, start, end)}
    small(key=key, data=data)
