"""The page "inspect": one recording, to see, to hear and to decide about."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from annotation.rounds.review import ConflictError, recording_state
from manifests.lock import Locked
from manifests.recipe import RecipeError
from manifests.schema import CorpusError

from ..actions import Asked, carry_out, describe, done, read
from ..player import play
from ..player_data import player_data
from ..recordings import FOUND, find_recordings, next_cut
from ..shell import Shell

PLAYER = "inspect_player"
# lanes are the better the wider they are: the page gives them what the frame keeps free elsewhere
_ROOM = "<style>[data-testid='stMainBlockContainer'] { padding: 4.4rem 1.6rem 2rem; max-width: none; }</style>"


def show(shell: Shell) -> None:
    """Draw the page."""
    st.html(_ROOM)
    _arrive(shell)
    _choose(shell)
    recording_id, at = st.session_state.get("inspect") or ("", 0.0)
    if not recording_id:
        st.info("Nothing to inspect yet: this corpus holds no recording. Fill it with `lpse curate`, then come back.")
        return
    try:
        now = recording_state(shell.corpus, recording_id)
    except CorpusError:
        st.error("That recording is not in this corpus (any more). Choose another one above, or find one on Browse.")
        return
    state = st.session_state
    # what the reviewer has before their eyes from now on: a decision is compared with it
    state["inspect_seen"] = (recording_id, now.seen)
    data = player_data(shell.corpus, now, shell.author, at, state.get("inspect_visit", 0))
    data["notice"] = state.pop("inspect_notice", None)
    st.query_params.from_dict({"recording": recording_id, "t": f"{at:.3f}"})
    play(data, PLAYER, on_decide=lambda: _decided(shell), on_go=lambda: _go(shell))


def _arrive(shell: Shell) -> None:
    """Where to begin: what another page asked for, else what the address says, else the first cut for review."""
    state = st.session_state
    place = state.get("inspect")
    if place is None:
        place = _asked_by_address() or next_cut(shell.corpus, "", -1.0, 1) or next_cut(shell.corpus, "", -1.0, 1, None)
    if place is None:
        found, _ = find_recordings(shell.corpus, "")
        place = (found[0][0], 0.0) if found else None
    if place != state.get("inspect_place"):
        _visit(*(place or ("", 0.0)))


def _asked_by_address() -> tuple[str, float] | None:
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
    """Search, the recordings it finds, and the way to the next cut for review."""
    find, choose, before, after = st.columns([3, 5, 1.6, 1.6], vertical_alignment="bottom")
    text = find.text_input("Find", key="inspect_find", placeholder="File, title or id", label_visibility="collapsed")
    found, count = find_recordings(shell.corpus, text.strip())
    here = st.session_state.get("inspect", ("", 0.0))[0]
    names = dict(found)
    more = f" (the first {FOUND} of {count:,}: search to narrow)" if count > FOUND else ""
    choose.selectbox(
        "Recording",
        list(names),
        index=list(names).index(here) if here in names else None,
        format_func=lambda recording_id: names.get(recording_id, recording_id),
        key=f"inspect_choice_{here}_{text}",
        placeholder=f"Choose of {count:,}{more}" if count else "No recording has that in its file, title or id",
        label_visibility="collapsed",
        on_change=lambda: _chosen(f"inspect_choice_{here}_{text}"),
    )
    before.button(
        "◂ To review", on_click=_go, args=(shell, -1), help="The cut for review before this (Shift+P)", width="stretch"
    )
    after.button(
        "To review ▸", on_click=_go, args=(shell, 1), help="The next cut for review (Shift+N)", width="stretch"
    )


def _chosen(key: str) -> None:
    if st.session_state[key]:
        _visit(st.session_state[key], 0.0)


def _go(shell: Shell, step: int | None = None) -> None:
    if step is None:
        step = 1 if _payload("go") == 1 else -1
    recording_id, at = st.session_state.get("inspect", ("", 0.0))
    place = next_cut(shell.corpus, recording_id, at, step)
    if place is None:
        _say("told", f"No cut for review {'after' if step > 0 else 'before'} this one.")
    else:
        _visit(*place)


def _payload(name: str) -> Any:
    return getattr(st.session_state[PLAYER], name, None)


def _say(kind: str, text: str, lines: tuple[str, ...] = (), undo: str = "") -> None:
    st.session_state["inspect_notice"] = {"kind": kind, "text": text, "lines": list(lines), "undo": undo}


def _decided(shell: Shell) -> None:
    """Carry out what the player sent, before the page is drawn anew."""
    payload, state = _payload("decide"), st.session_state
    if not isinstance(payload, dict):
        return
    clash: tuple[Asked, frozenset[str]] | None = state.pop("inspect_clash", None)
    if payload.get("action") == "dismiss":
        return
    recording_id, seen = state.get("inspect_seen", ("", frozenset()))
    try:
        if payload.get("action") == "insist":
            if clash is None:
                return
            asked, seen = clash
        else:
            asked = read(payload)
        if asked.recording_id != recording_id:
            raise CorpusError("the page showed another recording: look again, then decide")
        _carry_out(shell, asked, seen)
    except (CorpusError, Locked, OSError, RecipeError) as error:
        _say("wrong", f"Nothing was written: {error}")


def _carry_out(shell: Shell, asked: Asked, seen: frozenset[str]) -> None:
    if not shell.author:
        raise CorpusError("give your name under Reviewer first: it goes into every decision")
    try:
        outcome = carry_out(shell.corpus, asked, shell.author, seen)
    except ConflictError as error:
        # whoever decides so all the same has seen these rows, and no others that may come until then
        st.session_state["inspect_clash"] = (asked, seen | {row.verdict_id for row in error.rows})
        text = "Nothing was written: somebody decided here since you opened it. What you see now includes it."
        _say("clash", text, tuple(describe(row) for row in error.rows))
        return
    undo = outcome.verdict.verdict_id if asked.action != "undo" else ""
    _say("done", done(asked, outcome.verdict), undo=undo)
    if asked.go:
        place = next_cut(shell.corpus, asked.recording_id, asked.start_ms / 1000, 1)
        if place is not None:
            _visit(*place)
