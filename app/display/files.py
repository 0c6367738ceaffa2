"""Scripts, styles and templates that lie beside the modules of `app` that use them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

CLOCK = ("display", "clock.js")


@cache
def read_texts(folder: str, *names: str) -> str:
    """The files of a folder of `app`, such as "review/player", one after the other."""
    root = files(__name__.partition(".")[0]).joinpath(folder)
    return "\n".join(root.joinpath(name).read_text(encoding="utf-8") for name in names)
