"""The filter of Overview and Browse: kept for the visit, written into the address, changed in the panel."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import streamlit as st

from curation.catalog.catalog import Catalog
from curation.catalog.filters import MEASURES, UNKNOWN, BadFilter, Filter, from_query, to_query

from ..display.measures import MEASURES as MEASURE_TEXTS
from ..display.text import outcome_title, plain, visible
from .parts import panel

_NAMES = {field.name for field in fields(Filter)} - {"measures"} | set(MEASURES)
PEOPLE_NAMES = {
    "keep": "kept by a person",
    "reject": "rejected by a person",
    "unsure": "sent for review by a person",
    "commented": "commented on",
    "annotated": "annotated",
    "unreviewed": "not reviewed by a person",
    "disputed": "annotators disagree",
}
_TITLES = {
    "decisions": "Decision",
    "reasons": "Reason",
    "tags": "Events in the cut",
    "channels": "Channel",
    "licences": "Licence",
    "people": "People",
}
_KEY = "finding_panel"
STALE_SECONDS = 30.0  # a request may carry an address that is as old as this
_MOST_VALUES = 2000  # of one field in the panel; the search finds the others


def current_filter() -> Filter:
    """The filter of this visit: that of the address if it names one, else the last one chosen, on either page.

    An invalid address shows an error on the page and filters nothing.
    """
    state = st.session_state
    changed = state.pop("finding_changed", False)  # by the panel, in this run: its address is from before
    address = {name: st.query_params.get_all(name) for name in st.query_params}
    asked = {name: values for name, values in address.items() if name in _NAMES}
    if "finding" not in state or (asked and not _is_own(asked) and not changed):
        try:
            state["finding"] = from_query(asked)
        except BadFilter as error:
            state["finding"] = Filter()
            state["finding_complaint"] = f"The filter in the address is invalid: {error}"
    chosen: Filter = state["finding"]
    return chosen


def _is_own(asked: Mapping[str, Sequence[str]]) -> bool:
    """True for an address that the page itself wrote, last or shortly before.

    A browser sends its address with every change. While the answer to one change is on its way, the next change still
    carries the address from before, and that must not undo what the reviewer just chose.
    """
    now = time.monotonic()
    return any(asked == one and now < until for one, until in st.session_state.get("finding_written", []))


def write_address(filter: Filter, **more: str) -> None:
    """Write the filter into the address, so that it can be bookmarked and shared; `more`: further parameters."""
    asked = {name: values if isinstance(values, list) else [values] for name, values in to_query(filter).items()}
    now, written = time.monotonic(), st.session_state.get("finding_written", [])
    earlier = [(one, min(until, now + STALE_SECONDS)) for one, until in written if one != asked and until > now]
    st.session_state["finding_written"] = [*earlier, (asked, math.inf)]
    wanted = asked | {name: [value] for name, value in more.items() if value}
    if wanted != {name: st.query_params.get_all(name) for name in st.query_params}:
        st.query_params.from_dict(wanted)


def draw_panel(catalog: Catalog, filter: Filter) -> None:
    """The panel of filters in the sidebar; a change runs the script again with the new filter."""
    facets = catalog.facets(filter)
    fields = [
        {
            "name": name,
            "title": title,
            "values": [_choice(name, *one) for one in list(facets[name].items())[:_MOST_VALUES]],
        }
        for name, title in _TITLES.items()
    ]
    ranges = [
        {"name": "risk", "title": "Risk, 0 to 1", "least": "0", "most": "1"},
        {"name": "seconds", "title": "Length, s", "least": None, "most": None},
    ]
    data = {
        "asked": {name: value if isinstance(value, list) else [value] for name, value in to_query(filter).items()},
        "facets": fields,
        "ranges": ranges,
        "measures": [
            {"name": name, "title": MEASURE_TEXTS[name].field, "least": None, "most": None} for name in MEASURES
        ],
        "folded": ["channels", "licences", "quality"],
        "complaint": st.session_state.pop("finding_complaint", None),
        "answered": st.session_state.get("finding_answered", ""),
    }
    with st.sidebar:
        panel(data=data, key=_KEY, on_asked_change=_changed)


def _choice(name: str, value: str, count: int) -> dict[str, Any]:
    choice = {"value": value, "label": _label(name, value), "count": count}
    if name == "decisions":
        choice["mark"] = value
    return choice


def _label(name: str, value: str) -> str:
    if name == "decisions":
        return outcome_title(value)
    if name == "people":
        return PEOPLE_NAMES[value].capitalize()
    if value == UNKNOWN:
        return "unknown"
    return visible(value) if name in ("channels", "licences") else plain(value)


def _changed() -> None:
    """Take the choices that the panel sent. Each message has a name: one that arrives twice counts once."""
    state = st.session_state
    try:
        name, asked = _sent_by_panel(state[_KEY].get("asked"))
        if name == state.get("finding_answered"):
            return
        state["finding_answered"] = name
        state["finding_changed"] = True
        state["finding"] = from_query(asked)
    except BadFilter as error:
        state["finding_complaint"] = visible(str(error))
    state["finding_turn"] = state.get("finding_turn", 0) + 1


def _sent_by_panel(sent: object) -> tuple[str, Mapping[str, Sequence[str]]]:
    """The name and the choices of a message of the panel. Raises BadFilter for another message."""
    name, asked = (sent.get("name"), sent.get("values")) if isinstance(sent, Mapping) else (None, None)
    if not isinstance(name, str) or not isinstance(asked, Mapping):
        raise BadFilter("the panel sent no choices: load the page again")
    for values in asked.values():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise BadFilter("the panel sent no choices: load the page again")
    return name, asked
