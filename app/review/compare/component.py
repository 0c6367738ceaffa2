"""The trial as a Streamlit component: its content is data, never part of script or style."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from ...display.files import CLOCK, read_texts


def compare(data: dict[str, Any], key: str, on_rated: Callable[[], None]) -> Any:
    """Show a trial; returns the values of the component.

    `data`: {"trial", "recording_id", "start", "seconds", "video", "question", "revealed"}; `revealed` is None until the
        rating, then [{"system", "joins", "score", "preferred"}, ...] in the order of the sides.
        `rated`: {"trial", "scores", "preferred", "comment"}. The callback runs before the page is drawn again.
    """
    script = read_texts(*CLOCK) + read_texts("review/player", "base.js", "media.js")
    script += read_texts("review/compare", "compare.js")
    style = read_texts("review/compare", "compare.css")
    return st.components.v2.component("lpse_compare", css=style, js=script)(
        key=key, data=data, on_rated_change=on_rated
    )
