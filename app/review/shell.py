"""The context of every page: the open corpus, the reviewer, and the way to another page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import streamlit as st

from curation.catalog.catalog import Catalog, catalog_of
from manifests.store import Corpus

from .parts import name_keeper

MAX_NAME = 80
_COOKIE = "lpse_reviewer"


@dataclass
class _Opened:
    """The corpus of this process, set before the server starts and read by the script that it runs."""

    path: Path | None = None
    reviewer: str = ""


_opened = _Opened()


def open_corpus(path: Path, reviewer: str = "") -> None:
    """Make this the corpus of the pages; `reviewer`: the name of visitors whose browser has none stored."""
    _opened.path, _opened.reviewer = path, reviewer


@dataclass(frozen=True)
class Shell:
    """The open corpus and the reviewer's name, which every written row carries; empty until it is entered."""

    corpus: Corpus
    author: str

    @property
    def catalog(self) -> Catalog:
        """The catalog of the corpus as it is now."""
        return catalog_of(self.corpus)

    def inspect(self, recording_id: str, start: float = 0.0) -> None:
        """Show a recording, its player at `start` seconds, on the next run of the script."""
        st.session_state["inspect"] = (recording_id, start)
        st.switch_page(st.session_state["pages"]["inspect"])


def current_shell(author: str) -> Shell:
    """The shell of this run of the script. Raises CorpusError if the corpus is gone."""
    if _opened.path is None:
        raise RuntimeError("no corpus is open: call open_corpus before the server starts")
    return Shell(Corpus.open(_opened.path), author)


def ask_reviewer() -> str:
    """The field for the reviewer's name, stored in the browser; returns the name, empty without one."""
    if "author" not in st.session_state:
        kept = unquote(st.context.cookies.get(_COOKIE, "")).strip()[:MAX_NAME]
        st.session_state["author"] = kept or _opened.reviewer
        st.session_state["author_kept"] = kept
    name = st.text_input(
        "Reviewer",
        key="author",
        max_chars=MAX_NAME,
        placeholder="Your name",
        help="Your name is stored with each of your decisions.",
    ).strip()
    if name != st.session_state["author_kept"]:
        name_keeper(data=name, key="name_keeper", height=1)
        st.session_state["author_kept"] = name
    if not name:
        st.caption("Enter your name before you decide.")
    return name
