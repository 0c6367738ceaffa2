"""The script that Streamlit runs for every visitor and every click: reviewer, navigation, one page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

import streamlit as st

from app.display.text import visible
from app.review.shell import Shell, ask_reviewer, current_shell
from app.review.theme import ICON, STYLE
from curation.catalog.catalog import CatalogUnavailable
from manifests.schema import CorpusError

PAGES = {
    "overview": ("Overview", ":material/monitoring:"),
    "browse": ("Browse", ":material/table_rows:"),
    "inspect": ("Inspect", ":material/graphic_eq:"),
    "whatif": ("What if", ":material/tune:"),
    "compare": ("Compare", ":material/compare_arrows:"),
}


def main() -> None:
    st.set_page_config("lpse review", ICON, layout="wide", initial_sidebar_state="expanded")
    st.html(STYLE)
    shell_of = partial(_shell, st.sidebar.container())
    pages = {
        name: st.Page(partial(_show, name, shell_of), title=title, icon=icon, url_path=name, default=name == "overview")
        for name, (title, icon) in PAGES.items()
    }
    st.session_state["pages"] = pages
    chosen = st.navigation(list(pages.values()), position="top")
    # the icon again: Streamlit would fetch that of the page from the internet
    st.set_page_config(f"{chosen.title} · lpse review", ICON)
    chosen.run()


def _shell(place: st.delta_generator.DeltaGenerator) -> Shell:
    with place:
        return current_shell(ask_reviewer())


def _show(name: str, shell_of: Callable[[], Shell]) -> None:
    """Show a page, or in one line the reason why it cannot be shown."""
    try:
        shell = shell_of()
        if shell.corpus.recipe is None:
            _nothing_yet(shell)
            return
        # only the shown page is imported: the first one does not wait for the others
        import_module(f"app.review.pages.{name}").show(shell)
    except (CorpusError, CatalogUnavailable, OSError) as error:
        st.error(f"This page cannot be shown: {_plain(str(error))}", icon=":material/error:")
        st.button("Try again", icon=":material/refresh:")


def _nothing_yet(shell: Shell) -> None:
    st.title("Nothing to review yet", anchor=False)
    st.write("This corpus has no decisions yet. Curate a folder of recordings, then load this page again:")
    st.code(f"lpse curate FOLDER --corpus {visible(str(shell.corpus.path))}", language=None)
    st.button("Load again", icon=":material/refresh:")


def _plain(text: str) -> str:
    """The text escaped for Markdown, on one line."""
    line = visible(" ".join(text.split()))
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+-.!|~$:" else c for c in line)


if __name__ == "__main__":
    main()
