"""What is asked for on the pages for finding: kept for the visit, written into the address, changed in the panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import streamlit as st

from curation.catalog.catalog import Catalog
from curation.catalog.filters import MEASURES, UNKNOWN, BadFilter, Filter, from_query, to_query

from ..display.text import plain, visible
from .parts import panel

_NAMES = {field.name for field in fields(Filter)} - {"measures"} | set(MEASURES)
PEOPLE_SAID = {
    "keep": "kept by a person",
    "reject": "rejected by a person",
    "unsure": "left open by a person",
    "commented": "commented on",
    "heard": "annotated",
    "nobody": "heard by nobody",
    "disputed": "annotators disagree",
}
DECISION_SAID = {"accept": "Accepted", "review": "For review", "reject": "Rejected"}
MEASURE_SAID = {
    "loudness_lufs": "Loudness, LUFS",
    "clipped": "Clipped, share",
    "bandwidth_hz": "Bandwidth, Hz",
    "dc": "DC offset",
    "dead_channels": "Dead channels",
    "copied_channels": "Copied channels",
    "mono_loss_db": "Loss in mono, dB",
    "dropouts": "Dropouts a minute",
    "still_share": "Still picture, share",
    "scene_cuts": "Scene cuts a minute",
}
_TITLES = {
    "decisions": "Decision",
    "reasons": "Reason",
    "tags": "Heard inside",
    "channels": "Channel",
    "licences": "Licence",
    "people": "People",
}
_KEY = "finding_panel"
_MOST_VALUES = 2000  # of one field in the panel; others are found by the search


def current_filter() -> Filter:
    """The filter of this visit. An address that names one counts; else what was chosen last does, on whichever page.

    What an address asks for that cannot be is said on the page, and nothing is asked for.
    """
    address = {name: st.query_params.get_all(name) for name in st.query_params}
    asked = {name: values for name, values in address.items() if name in _NAMES}
    if "finding" not in st.session_state or (asked and asked != st.session_state.get("finding_written")):
        try:
            st.session_state["finding"] = from_query(asked)
        except BadFilter as error:
            st.session_state["finding"] = Filter()
            st.session_state["finding_complaint"] = f"The address asks for what cannot be: {error}"
    chosen: Filter = st.session_state["finding"]
    return chosen


def write_address(filter: Filter, **more: str) -> None:
    """Let the address say what is asked for, so that it can be kept and handed on; `more` stands beside the filter."""
    asked = {name: values if isinstance(values, list) else [values] for name, values in to_query(filter).items()}
    st.session_state["finding_written"] = asked
    wanted = asked | {name: [value] for name, value in more.items() if value}
    if wanted != {name: st.query_params.get_all(name) for name in st.query_params}:
        st.query_params.from_dict(wanted)


def draw_panel(finder: Catalog, filter: Filter) -> None:
    """The panel of filters in the sidebar; a change runs the script again with the new filter."""
    facets = finder.facets(filter)
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
        {"name": "seconds", "title": "Length, seconds", "least": None, "most": None},
    ]
    data = {
        "asked": {name: value if isinstance(value, list) else [value] for name, value in to_query(filter).items()},
        "facets": fields,
        "ranges": ranges,
        "measures": [{"name": name, "title": MEASURE_SAID[name], "least": None, "most": None} for name in MEASURES],
        "folded": ["channels", "licences", "quality"],
        "complaint": st.session_state.pop("finding_complaint", None),
        "heard": st.session_state.get("finding_heard", ""),
    }
    with st.sidebar:
        panel(data=data, key=_KEY, on_asked_change=_changed)


def _choice(name: str, value: str, count: int) -> dict[str, Any]:
    choice = {"value": value, "label": _said(name, value), "count": count}
    if name == "decisions":
        choice["mark"] = value
    return choice


def _said(name: str, value: str) -> str:
    if name == "decisions":
        return DECISION_SAID[value]
    if name == "people":
        return PEOPLE_SAID[value].capitalize()
    if value == UNKNOWN:
        return "not known"
    return visible(value) if name in ("channels", "licences") else plain(value)


def _changed() -> None:
    """Take the choices of the panel, which names what it says; what it says once more, in doubt, counts once."""
    state = st.session_state
    try:
        name, asked = _said_by_panel(state[_KEY].get("asked"))
        if name == state.get("finding_heard"):
            return
        state["finding_heard"] = name
        state["finding"] = from_query(asked)
    except BadFilter as error:
        state["finding_complaint"] = visible(str(error))
    state["finding_turn"] = state.get("finding_turn", 0) + 1


def _said_by_panel(said: object) -> tuple[str, Mapping[str, Sequence[str]]]:
    """What the browser sent, if it is what the panel sends. Raises BadFilter."""
    name, asked = (said.get("name"), said.get("values")) if isinstance(said, Mapping) else (None, None)
    if not isinstance(name, str) or not isinstance(asked, Mapping):
        raise BadFilter("the panel sent no choices: load the page again")
    for values in asked.values():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise BadFilter("the panel sent no choices: load the page again")
    return name, asked
