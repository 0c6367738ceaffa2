"""The player's script and style as Streamlit components: what is shown is data, never part of either."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import streamlit as st

from ..media import sound_url

_SCRIPTS = ("base.js", "view.js", "media.js", "sight.js", "lanes.js", "timeline.js", "desk.js", "player.js")


@cache
def read_parts(*names: str) -> str:
    return "\n".join(files(__package__).joinpath(name).read_text(encoding="utf-8") for name in names)


def play(data: dict[str, Any], key: str, on_decide: Callable[[], None], on_go: Callable[[], None]) -> Any:
    """Show a recording (`inspecting.player_data`); gives the component's triggers.

    `decide`: {"action", "start_ms", "end_ms", "keep", "reasons", "comment", "go", "verdict_id"}; `go`: 1 or -1, to the
    next or the previous cut for review. The callbacks run before the page is drawn anew.
    """
    player = st.components.v2.component("lpse_player", css=read_parts("player.css"), js=read_parts(*_SCRIPTS))
    return player(key=key, data=data, on_decide_change=on_decide, on_go_change=on_go)


def listen(recording_id: str, start: float, end: float, key: str) -> None:
    """A small player of [start, end) seconds of a recording."""
    small = st.components.v2.component(
        "lpse_listen", css=read_parts("listen.css"), js=read_parts("base.js", "media.js", "listen.js")
    )
    data = {"id": recording_id, "start": start, "end": end, "url": sound_url(recording_id, start, end)}
    small(key=key, data=data)
