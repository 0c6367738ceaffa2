"""The player's script and style as Streamlit components: what is shown is data, never part of either."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from ..media import sound_url
from ..texts import read_texts

_SCRIPTS = ("base.js", "view.js", "media.js", "sight.js", "lanes.js", "timeline.js", "desk.js", "player.js")
_read = partial(read_texts, "player")


def play(data: dict[str, Any], key: str, on_decide: Callable[[], None], on_go: Callable[[], None]) -> Any:
    """Show a recording (`inspecting.player_data`); gives the component's triggers.

    `decide`: {"action", "start_ms", "end_ms", "keep", "reasons", "comment", "go", "verdict_id"}; `go`: 1 or -1, to the
    next or the previous cut for review. The callbacks run before the page is drawn anew.
    """
    player = st.components.v2.component("lpse_player", css=_read("player.css"), js=_read(*_SCRIPTS))
    return player(key=key, data=data, on_decide_change=on_decide, on_go_change=on_go)


def listen(recording_id: str, start: float, end: float, key: str) -> None:
    """A small player of [start, end) seconds of a recording."""
    small = st.components.v2.component(
        "lpse_listen", css=_read("listen.css"), js=_read("base.js", "media.js", "listen.js")
    )
    data = {"id": recording_id, "start": start, "end": end, "url": sound_url(recording_id, start, end)}
    small(key=key, data=data)
