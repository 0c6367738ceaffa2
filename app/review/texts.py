"""Scripts and styles that lie beside the modules that show them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def read_texts(package: str, *names: str) -> str:
    """The files of a subpackage of this one, by its name, one after the other."""
    folder = files(__package__).joinpath(package)
    return "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)
