"""The two sounds as a Streamlit component: what is shown is data, never part of script or style."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import streamlit as st

from ..player.component import read_parts


def compare(data: dict[str, Any], key: str, on_rated: Callable[[], None]) -> Any:
    """Show a trial; gives the component's trigger.

    `data`: {"trial", "recording_id", "start", "seconds", "video", "question", "revealed"}; `revealed` is None until the
    sounds are rated, then [{"system", "joins", "score", "preferred"}, ...] in the order in which they are heard.
    `rated`: {"trial", "scores", "preferred", "comment"}. The callback runs before the page is drawn anew.
    """
    own = files(__package__)
    script = read_parts("base.js", "media.js") + own.joinpath("compare.js").read_text(encoding="utf-8")
    style = own.joinpath("compare.css").read_text(encoding="utf-8")
    return st.components.v2.component("lpse_compare", css=style, js=script)(
        key=key, data=data, on_rated_change=on_rated
    )
