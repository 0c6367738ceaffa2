"""The parts of Overview and Browse: the panel of filters, the table, the charts.

Each is a Streamlit component: a script and a style in this folder, with plain data. The data of a corpus are shown as
text, never as markup.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from ...display.files import CLOCK, read_texts

Component = Callable[..., Any]


def _part(name: str) -> Component:
    # in the tree of the page, for the search of the browser and one style for all
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
