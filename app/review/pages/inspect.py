"""The page "Inspect": watch and play one recording, and decide about its cuts."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from annotation.rounds.review import ConflictError, recording_state
from curation.catalog.filters import MOST_TEXT, Filter
from manifests.lock import Locked
from manifests.recipe import RecipeError
from manifests.schema import CorpusError

from ...display.text import plural, visible
from ..actions import Action, carry_out, describe, done, read
from ..player import play
from ..player_data import player_data
from ..shell import Shell

PLAYER = "inspect_player"
FOUND = 50  # recordings that a search lists
# wide tracks show more: the page uses the margin that other pages keep free
_ROOM = "<style>[data-testid='stMainBlockContainer'] { padding: 4.4rem 1.6rem 2rem; max-width: none; }</style>"


def show(shell: Shell) -> None:
    """Draw the page."""
    st.html(_ROOM)
    _arrive(shell)
    _choose(shell)
    recording_id, at = st.session_state.get("inspect") or ("", 0.0)
    if not recording_id:
        st.info("This corpus has no recordings. Curate a folder with `lpse curate`, then load this page again.")
        return
    try:
        now = recording_state(shell.corpus, recording_id)
    except CorpusError:
        st.error("This recording is not in the corpus. Choose another one above, or search on Browse.")
        return
    state = st.session_state
    # the rows that the reviewer now sees: a decision is checked against them
    state["inspect_seen"] = (recording_id, now.seen)
    data = player_data(shell.corpus, now, shell.author, at, state.get("inspect_visit", 0))
    data["notice"] = state.pop("inspect_notice", None)
    st.query_params.from_dict({"recording": recording_id, "t": f"{at:.3f}"})
    play(data, PLAYER, on_decide=lambda: _decided(shell), on_go=lambda: _go(shell))


def _arrive(shell: Shell) -> None:
    """Choose the place to begin: that of another page, else of the address, else the first cut for review."""
    state = st.session_state
    place = state.get("inspect")
    if place is None:
        first = shell.catalog.next_cut
        place = _place_in_address() or first("", -1.0, 1) or first("", -1.0, 1, None)
    if place is None:
        place = next(((recording_id, 0.0) for recording_id in _search(shell, "")[0]), None)
    if place != state.get("inspect_place"):
        _visit(*(place or ("", 0.0)))


def _place_in_address() -> tuple[str, float] | None:
    recording_id = st.query_params.get("recording", "")
    if not recording_id:
        return None
    try:
        at = float(st.query_params.get("t", "0"))
    except ValueError:
        at = 0.0
    return recording_id, max(at, 0.0) if math.isfinite(at) else 0.0


def _visit(recording_id: str, at: float) -> None:
    state = st.session_state
    state["inspect"] = state["inspect_place"] = (recording_id, at)
    state["inspect_visit"] = state.get("inspect_visit", 0) + 1


def _choose(shell: Shell) -> None:
    """Draw the search, the recordings that it finds, and the buttons to the next cut for review."""
    find, choose, before, after = st.columns([3, 5, 1.6, 1.6], vertical_alignment="bottom")
    text = find.text_input(
        "Find", key="inspect_find", placeholder="Title, file, id, comment", label_visibility="collapsed"
    )
    names, count = _search(shell, text)
    current = st.session_state.get("inspect", ("", 0.0))[0]
    more = f" (the first {FOUND} are listed)" if count > FOUND else ""
    choose.selectbox(
        "Recording",
        list(names),
        index=list(names).index(current) if current in names else None,
        format_func=lambda recording_id: names.get(recording_id, recording_id),
        key=f"inspect_choice_{current}_{text}",
        placeholder=f"{plural(count, 'recording')}{more}" if count else "No recording matches the search",
        label_visibility="collapsed",
        on_change=lambda: _chosen(f"inspect_choice_{current}_{text}"),
    )
    before.button(
        "◂ To review", on_click=_go, args=(shell, -1), help="Previous cut for review (Shift+P)", width="stretch"
    )
    after.button("To review ▸", on_click=_go, args=(shell, 1), help="Next cut for review (Shift+N)", width="stretch")


def _search(shell: Shell, text: str) -> tuple[dict[str, str], int]:
    """Names by id of the recordings that the text selects, FOUND at most, in order of their files; and their number."""
    filter = Filter(text=text.strip()[:MOST_TEXT])
    columns = ("recording_id", "file")
    rows = shell.catalog.recordings(filter, sort="file", descending=False, limit=FOUND, columns=columns).to_pylist()
    return {row["recording_id"]: visible(row["file"]) for row in rows}, shell.catalog.count_recordings(filter)


def _chosen(key: str) -> None:
    if st.session_state[key]:
        _visit(st.session_state[key], 0.0)


def _go(shell: Shell, step: int | None = None) -> None:
    if step is None:
        step = 1 if _payload("go") == 1 else -1
    recording_id, at = st.session_state.get("inspect", ("", 0.0))
    place = shell.catalog.next_cut(recording_id, at, step)
    if place is None:
        _notify("note", f"No cut for review {'after' if step > 0 else 'before'} this one.")
    else:
        _visit(*place)


def _payload(name: str) -> Any:
    return getattr(st.session_state[PLAYER], name, None)


def _notify(kind: str, text: str, lines: tuple[str, ...] = (), undo: str = "") -> None:
    st.session_state["inspect_notice"] = {"kind": kind, "text": text, "lines": list(lines), "undo": undo}


def _decided(shell: Shell) -> None:
    """Carry out the action that the player sent, before the page is drawn again."""
    payload, state = _payload("decide"), st.session_state
    if not isinstance(payload, dict):
        return
    clash: tuple[Action, frozenset[str]] | None = state.pop("inspect_clash", None)
    if payload.get("action") == "dismiss":
        return
    recording_id, seen = state.get("inspect_seen", ("", frozenset()))
    try:
        if payload.get("action") == "insist":
            if clash is None:
                return
            action, seen = clash
        else:
            action = read(payload)
        if action.recording_id != recording_id:
            raise CorpusError("the page showed another recording: check this one, then decide again")
        _carry_out(shell, action, seen)
    except (CorpusError, Locked, OSError, RecipeError) as error:
        _notify("wrong", f"Not saved: {error}")


def _carry_out(shell: Shell, action: Action, seen: frozenset[str]) -> None:
    if not shell.author:
        raise CorpusError("enter your name under Reviewer first: it is stored with every decision")
    try:
        result = carry_out(shell.corpus, action, shell.author, seen)
    except ConflictError as error:
        # a reviewer who confirms has seen these rows, and no later ones
        st.session_state["inspect_clash"] = (action, seen | {row.verdict_id for row in error.rows})
        text = (
            "Not saved: another reviewer decided here after you opened the recording. The page now shows that decision."
        )
        _notify("clash", text, tuple(describe(row) for row in error.rows))
        return
    undo = result.verdict.verdict_id if action.name != "undo" else ""
    _notify("done", done(action, result.verdict), undo=undo)
    if action.go:
        place = shell.catalog.next_cut(action.recording_id, action.start_ms / 1000, 1)
        if place is not None:
            _visit(*place)
