"""The page "Browse": cuts or recordings in a table; the server filters, searches, sorts and sends one page of rows."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import streamlit as st

from curation.catalog.accounting import DECISIONS
from curation.catalog.catalog import Catalog
from curation.catalog.filters import Filter

from ...display.spreadsheet import as_csv
from ...display.text import (
    clock,
    clock_range,
    long_clock,
    outcome_name,
    outcome_title,
    plain,
    plural,
    visible,
)
from ..filter_panel import PEOPLE_NAMES, current_filter, draw_panel, write_address
from ..parts import table
from ..shell import Shell

ROWS = 50
_CUTS = (
    {"name": "title", "title": "Recording", "kind": "name", "sort": "title", "falls": False},
    {"name": "span", "title": "Time", "kind": "span", "sort": "start", "falls": False},
    {"name": "seconds", "title": "Length", "kind": "number text", "sort": "seconds", "falls": True},
    {"name": "decision", "title": "Decision", "kind": "decision", "sort": "decision", "falls": False},
    {"name": "reasons", "title": "Reasons", "kind": "chips"},
    {"name": "risk", "title": "Risk", "kind": "risk", "sort": "risk", "falls": True},
    {"name": "people", "title": "People", "kind": "text", "sort": "verdict", "falls": False},
    {"name": "channel", "title": "Channel", "kind": "text", "sort": "channel", "falls": False},
    {"name": "licence", "title": "Licence", "kind": "text", "sort": "licence", "falls": False},
)
_RECORDINGS = (
    {"name": "title", "title": "Recording", "kind": "name", "sort": "title", "falls": False},
    {"name": "length", "title": "Length", "kind": "number text", "sort": "seconds", "falls": True},
    {"name": "cuts", "title": "Cuts", "kind": "number text", "sort": "cuts", "falls": True},
    {"name": "shares", "title": "In cuts", "kind": "shares"},
    {"name": "accepted", "title": "Accepted", "kind": "number text", "sort": "accept", "falls": True},
    {"name": "waiting", "title": "For review", "kind": "number text", "sort": "review", "falls": True},
    {"name": "risk", "title": "Highest risk", "kind": "risk", "sort": "worst_risk", "falls": True},
    {"name": "reasons", "title": "Dropped for", "kind": "chips"},
    {"name": "channel", "title": "Channel", "kind": "text", "sort": "channel", "falls": False},
    {"name": "licence", "title": "Licence", "kind": "text", "sort": "licence", "falls": False},
)
_FIRST_SORT = {"cuts": ("risk", True), "recordings": ("review", True)}


def show(shell: Shell) -> None:
    """Draw the page; a click on a row opens it in Inspect."""
    catalog, filter = shell.catalog, current_filter()
    draw_panel(catalog, filter)
    kind = _kind()
    sort, descending = _sorted_by(kind)
    if kind == "cuts":
        counted = catalog.totals(filter)
        total = sum(one.cuts for one in counted.values())
        seconds = sum(one.seconds for one in counted.values())
        headline = f"{plural(total, 'cut')}, {long_clock(seconds)}"
    else:
        total = catalog.count_recordings(filter)
        headline = plural(total, "recording")
    _heading(kind, headline)
    _downloads(catalog, filter, kind, sort, descending, total)
    offset = _offset(kind, filter, sort, descending, total)
    query = catalog.cuts if kind == "cuts" else catalog.recordings
    rows = query(filter, sort=sort, descending=descending, limit=ROWS, offset=offset).to_pylist()
    if not total:
        _nothing_found(filter)
    else:
        seen, _ = st.session_state.get("inspect", (None, 0.0))
        data = {
            "key": f"{kind} {offset} {sort} {descending} {st.session_state.get('finding_turn', 0)}",
            "label": f"{kind.capitalize()}, {headline}",
            "columns": _columns(kind, rows),
            "rows": [(_cut if kind == "cuts" else _recording)(row) for row in rows],
            "seen": st.session_state.get("browse_seen") or seen,
            "sort": sort,
            "descending": descending,
            "offset": offset,
            "limit": ROWS,
            "total": total,
        }
        sent = table(
            data=data,
            key="browse_table",
            on_open_change=_nothing,
            on_sort_change=partial(_sort, kind),
            on_page_change=_turn,
        )
        _open(shell, sent.get("open"))
    write_address(filter, list=kind if kind != "cuts" else "")


def _kind() -> str:
    """The listed rows, "cuts" or "recordings"; when the page is first opened, the address decides."""
    if "browse_kind" not in st.session_state:
        asked = st.query_params.get("list", st.session_state.get("browse_was", "cuts"))
        st.session_state["browse_kind"] = "recordings" if asked == "recordings" else "cuts"
    # a click on the chosen option empties the choice
    kind: str = st.session_state["browse_kind"] or st.session_state["browse_was"]
    st.session_state["browse_was"] = kind
    return kind


def _heading(kind: str, headline: str) -> None:
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        st.title("Browse", anchor=False)
        st.markdown(headline)
    with right, st.container(horizontal=True, horizontal_alignment="right"):
        st.segmented_control(
            "List", ("cuts", "recordings"), key="browse_kind", format_func=str.capitalize, label_visibility="collapsed"
        )
        st.session_state["browse_downloads"] = st.container(width="content")


def _sorted_by(kind: str) -> tuple[str, bool]:
    chosen: tuple[str, bool] = st.session_state.get(f"browse_sort_{kind}", _FIRST_SORT[kind])
    return chosen


def _sort(kind: str) -> None:
    sent = st.session_state["browse_table"].get("sort")
    columns = {column.get("sort") for column in (_CUTS if kind == "cuts" else _RECORDINGS)} - {None}
    if isinstance(sent, Mapping) and sent.get("column") in columns:
        st.session_state[f"browse_sort_{kind}"] = (sent["column"], bool(sent.get("descending")))


def _turn() -> None:
    sent = st.session_state["browse_table"].get("page")
    if isinstance(sent, int | float) and sent >= 0:
        st.session_state["browse_offset"] = int(sent) // ROWS * ROWS


def _offset(kind: str, filter: Filter, sort: str, descending: bool, total: int) -> int:
    """The number of the first shown row; 0 after a change of the filter or the order."""
    listed = (kind, filter, sort, descending)
    if st.session_state.get("browse_listed") != listed:
        st.session_state["browse_listed"] = listed
        st.session_state["browse_offset"] = 0
    offset: int = st.session_state.get("browse_offset", 0)
    return min(offset, max(0, total - 1) // ROWS * ROWS)


def _nothing() -> None:
    """Do nothing: a component sends only values that have a callback."""


def _open(shell: Shell, sent: object) -> None:
    if not isinstance(sent, Mapping):
        return
    recording, start = sent.get("recording"), sent.get("start")
    if isinstance(recording, str) and isinstance(start, int | float):
        st.session_state["browse_seen"] = sent.get("id")
        shell.inspect(recording, float(start))


def _columns(kind: str, rows: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
    """The columns, without those that are empty on this page of rows."""
    known = _CUTS if kind == "cuts" else _RECORDINGS
    filled = {name for name in ("channel", "licence") if any(row[name] for row in rows)}
    if kind == "recordings" or any(row["people"] != ["unreviewed"] for row in rows):
        filled.add("people")
    return [
        column for column in known if column["name"] not in ("channel", "licence", "people") or column["name"] in filled
    ]


def _named(row: Mapping[str, Any], start: float) -> dict[str, Any]:
    title, file = visible(row["title"] or ""), visible(row["file"])
    return {
        "title": title or file,
        "below": "" if title in ("", file, PurePath(file).stem) else file,
        "href": f"inspect?recording={quote(row['recording_id'])}&t={start:g}",
        "recording": row["recording_id"],
        "start": start,
        "channel": visible(row["channel"] or ""),
        "licence": visible(row["licence"] or ""),
    }


def _cut(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table about a cut."""
    length = row["recording_seconds"] or row["end"]
    return _named(row, row["start"]) | {
        "id": row["cut_id"],
        "span": clock_range(row["start"], row["end"]),
        "from": min(1.0, row["start"] / length),
        "to": min(1.0, row["end"] / length),
        "seconds": clock(row["seconds"]),
        "decision": row["decision"],
        "label": outcome_title(row["decision"]),
        "reasons": [plain(reason) for reason in row["reasons"]],
        "risk": row["risk"],
        "people": ", ".join(PEOPLE_NAMES[one] for one in row["people"] if one != "unreviewed"),
    }


def _recording(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table about a recording."""
    length = row["seconds"] or 0.0
    parts = [(name, row[name]) for name in DECISIONS if row[name]]
    return _named(row, 0.0) | {
        "id": row["recording_id"],
        "length": long_clock(length) if length else "",
        "cuts": f"{row['cuts']:,}" if row["cuts"] else "",
        "shares": [(name, min(1.0, seconds / length)) for name, seconds in parts] if length else [],
        "label": ", ".join(f"{outcome_name(name)} {clock(seconds)}" for name, seconds in parts) or "no cuts",
        "accepted": clock(row["accept"]) if row["accept"] else "",
        "waiting": clock(row["review"]) if row["review"] else "",
        "risk": row["worst_risk"],
        "reasons": [plain(reason) for reason in row["drop_reasons"]],
    }


def _nothing_found(filter: Filter) -> None:
    if filter.is_empty:
        st.info("This corpus has no cuts. Choose Recordings for the reasons.")
    else:
        st.info("No row matches all filters. Remove a filter in the panel, or clear all of them.")


def _downloads(catalog: Catalog, filter: Filter, kind: str, sort: str, descending: bool, total: int) -> None:
    """Downloads of all rows that match the filter, made on demand."""
    query = catalog.cuts if kind == "cuts" else catalog.recordings

    def rows() -> pa.Table:
        return query(filter, sort=sort, descending=descending)

    with (
        st.session_state.pop("browse_downloads"),
        st.popover("Download", icon=":material/download:", disabled=not total),
    ):
        st.caption(f"{plural(total, kind[:-1])} that match the filters, in this order.")
        st.download_button("CSV", lambda: as_csv(rows()), f"{kind}.csv", "text/csv", on_click="ignore", width="stretch")
        st.download_button(
            "Parquet",
            lambda: _parquet(rows()),
            f"{kind}.parquet",
            "application/vnd.apache.parquet",
            on_click="ignore",
            width="stretch",
        )


def _parquet(rows: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(rows, file, compression="zstd")
    return file.getvalue()
