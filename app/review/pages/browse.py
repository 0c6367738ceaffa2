"""The page "Browse": cuts or recordings in a table, filtered, searched and sorted on the server, a page at a time."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import streamlit as st

from curation.catalog.catalog import Catalog
from curation.catalog.filters import Filter

from ...display.text import clock, long_clock, plain, plural, visible
from ..filter_panel import DECISION_SAID, PEOPLE_SAID, current_filter, draw_panel, write_address
from ..parts import table
from ..shell import Shell

ROWS = 50
_CUTS = (
    {"name": "title", "title": "Recording", "kind": "name", "sort": "title", "falls": False},
    {"name": "span", "title": "Where", "kind": "span", "sort": "start", "falls": False},
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
    {"name": "risk", "title": "Worst risk", "kind": "risk", "sort": "worst_risk", "falls": True},
    {"name": "reasons", "title": "Dropped for", "kind": "chips"},
    {"name": "channel", "title": "Channel", "kind": "text", "sort": "channel", "falls": False},
    {"name": "licence", "title": "Licence", "kind": "text", "sort": "licence", "falls": False},
)
_FIRST_SORT = {"cuts": ("risk", True), "recordings": ("review", True)}


def show(shell: Shell) -> None:
    """Draw the page; a chosen row leads to Inspect."""
    finder, filter = shell.finder, current_filter()
    draw_panel(finder, filter)
    kind = _kind()
    sort, descending = _sorted_by(kind)
    if kind == "cuts":
        counted = finder.totals(filter)
        total = sum(one.cuts for one in counted.values())
        seconds = sum(one.seconds for one in counted.values())
        headline = f"{plural(total, 'cut')}, {long_clock(seconds)}"
    else:
        total = finder.count_recordings(filter)
        headline = plural(total, "recording")
    _heading(kind, headline)
    _downloads(finder, filter, kind, sort, descending, total)
    offset = _offset(kind, filter, sort, descending, total)
    ask = finder.cuts if kind == "cuts" else finder.recordings
    rows = ask(filter, sort=sort, descending=descending, limit=ROWS, offset=offset).to_pylist()
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
        said = table(
            data=data,
            key="browse_table",
            on_open_change=_nothing,
            on_sort_change=partial(_sort_anew, kind),
            on_page_change=_turn,
        )
        _open(shell, said.get("open"))
    write_address(filter, list=kind if kind != "cuts" else "")


def _kind() -> str:
    """What is listed: "cuts" or "recordings", as the address says it when the page is first opened."""
    if "browse_kind" not in st.session_state:
        asked = st.query_params.get("list", st.session_state.get("browse_was", "cuts"))
        st.session_state["browse_kind"] = "recordings" if asked == "recordings" else "cuts"
    # emptied by a click on what is chosen already
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


def _sort_anew(kind: str) -> None:
    said = st.session_state["browse_table"].get("sort")
    columns = {column.get("sort") for column in (_CUTS if kind == "cuts" else _RECORDINGS)} - {None}
    if isinstance(said, Mapping) and said.get("column") in columns:
        st.session_state[f"browse_sort_{kind}"] = (said["column"], bool(said.get("descending")))


def _turn() -> None:
    said = st.session_state["browse_table"].get("page")
    if isinstance(said, int | float) and said >= 0:
        st.session_state["browse_offset"] = int(said) // ROWS * ROWS


def _offset(kind: str, filter: Filter, sort: str, descending: bool, total: int) -> int:
    """The first row that is shown: the first of all as soon as something else is listed."""
    listed = (kind, filter, sort, descending)
    if st.session_state.get("browse_listed") != listed:
        st.session_state["browse_listed"] = listed
        st.session_state["browse_offset"] = 0
    offset: int = st.session_state.get("browse_offset", 0)
    return min(offset, max(0, total - 1) // ROWS * ROWS)


def _nothing() -> None:
    """A component tells nothing that nobody asks for."""


def _open(shell: Shell, said: object) -> None:
    if not isinstance(said, Mapping):
        return
    recording, start = said.get("recording"), said.get("start")
    if isinstance(recording, str) and isinstance(start, int | float):
        st.session_state["browse_seen"] = said.get("id")
        shell.inspect(recording, float(start))


def _columns(kind: str, rows: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
    """The columns, without those that say nothing on this page of rows."""
    known = _CUTS if kind == "cuts" else _RECORDINGS
    said = {name for name in ("channel", "licence") if any(row[name] for row in rows)}
    if kind == "recordings" or any(row["people"] != ["nobody"] for row in rows):
        said.add("people")
    return [
        column for column in known if column["name"] not in ("channel", "licence", "people") or column["name"] in said
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
    """A cut as the table shows it."""
    length = row["recording_seconds"] or row["end"]
    return _named(row, row["start"]) | {
        "id": row["cut_id"],
        "span": f"{clock(row['start'])} – {clock(row['end'])}",
        "from": min(1.0, row["start"] / length),
        "to": min(1.0, row["end"] / length),
        "seconds": clock(row["seconds"]),
        "decision": row["decision"],
        "said": DECISION_SAID[row["decision"]],
        "reasons": [plain(reason) for reason in row["reasons"]],
        "risk": row["risk"],
        "people": ", ".join(PEOPLE_SAID[one] for one in row["people"] if one != "nobody"),
    }


def _recording(row: Mapping[str, Any]) -> dict[str, Any]:
    """A recording as the table shows it."""
    length = row["seconds"] or 0.0
    parts = [(name, row[name]) for name in DECISION_SAID if row[name]]
    return _named(row, 0.0) | {
        "id": row["recording_id"],
        "length": long_clock(length) if length else "",
        "cuts": f"{row['cuts']:,}" if row["cuts"] else "",
        "shares": [(name, min(1.0, seconds / length)) for name, seconds in parts] if length else [],
        "said": ", ".join(f"{DECISION_SAID[name].lower()} {clock(seconds)}" for name, seconds in parts) or "no cuts",
        "accepted": clock(row["accept"]) if row["accept"] else "",
        "waiting": clock(row["review"]) if row["review"] else "",
        "risk": row["worst_risk"],
        "reasons": [plain(reason) for reason in row["drop_reasons"]],
    }


def _nothing_found(filter: Filter) -> None:
    if filter.is_empty:
        st.info("No recording of this corpus gave a cut. Choose Recordings to see why each was dropped.")
    else:
        st.info("Nothing fits all of these filters. Take one away in the panel, or clear them all.")


def _downloads(finder: Catalog, filter: Filter, kind: str, sort: str, descending: bool, total: int) -> None:
    """All rows that the filter shows, made when somebody asks for them."""
    ask = finder.cuts if kind == "cuts" else finder.recordings

    def rows() -> pa.Table:
        return ask(filter, sort=sort, descending=descending)

    with (
        st.session_state.pop("browse_downloads"),
        st.popover("Download", icon=":material/download:", disabled=not total),
    ):
        st.caption(f"All {plural(total, kind[:-1])} that the filters show, in this order.")
        st.download_button("CSV", lambda: _csv(rows()), f"{kind}.csv", "text/csv", on_click="ignore", width="stretch")
        st.download_button(
            "Parquet",
            lambda: _parquet(rows()),
            f"{kind}.parquet",
            "application/vnd.apache.parquet",
            on_click="ignore",
            width="stretch",
        )


def _csv(rows: pa.Table) -> bytes:
    """Lists become words with a space between; a text that a spreadsheet would run as a formula gets a quote first."""
    columns = []
    for column in rows.columns:
        if pa.types.is_list(column.type):
            column = pc.binary_join(column, " ")
        if pa.types.is_string(column.type):
            column = pc.replace_substring_regex(column, r"^([=+\-@\t\r])", r"'\1")
        columns.append(column)
    file = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(columns, rows.column_names), file)
    return file.getvalue()


def _parquet(rows: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(rows, file, compression="zstd")
    return file.getvalue()
