"""The parts that pages for finding are made of: the panel of filters, the table, the charts.

Each is one component of Streamlit's: a script and a style that lie here, fed with plain data. What a corpus holds
goes into the page as text alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from ...display.files import CLOCK, read_texts

Part = Callable[..., Any]


def _part(name: str) -> Part:
    # in the page's own tree: found by the browser's search, and one style for all
    return st.components.v2.component(
        f"lpse.{name}",
        css=read_texts("review/parts", "parts.css"),
        js=read_texts(*CLOCK) + read_texts("review/parts", "dom.js", f"{name}.js"),
        isolate_styles=False,
    )


panel = _part("panel")
table = _part("table")
charts = _part("charts")
name_keeper = _part("name_keeper")
