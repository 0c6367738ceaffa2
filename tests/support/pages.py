"""The pages of the documentation as tests read them: prose, code blocks, links, commands and their options."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from app.cli import cli

from . import ROOT

DOCS = ROOT / "docs"
NOTEBOOK = DOCS / "notebook.ipynb"
ORDER = (
    "README.md",
    *(f"docs/{name}.md" for name in ("overview", "curate", "purity", "annotate", "review", "features", "model")),
)
"""The pages in the order of a reader; the commands run in this order."""
REFERENCE = (
    *(f"docs/{name}.md" for name in ("recipes", "corpus", "tables", "glossary", "purity-card")),
    "CHANGELOG.md",
)
PAGES = (*ORDER, *REFERENCE)
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: the page it is on, its language, its text."""

    page: str
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command of a page, as a shell splits it; `text` is the line."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        return [word.removeprefix(".venv/bin/") for word in shlex.split(self.text, comments=True)]


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str | None = None) -> list[Block]:
    """The fenced blocks of a page, those of one language if it is given."""
    found = [Block(page, *match) for match in _BLOCK.findall(text_of(page))]
    return [block for block in found if language in (None, block.language)]


def commands() -> list[Command]:
    """Every command of every page, once, in the order of a reader."""
    found: dict[tuple[str, ...], Command] = {}
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.text.splitlines():
                command = Command(page, line)
                if command.words:
                    found.setdefault(tuple(command.words), command)
    return list(found.values())


def prose(page: str) -> str:
    """A page without its code blocks."""
    return _BLOCK.sub("", text_of(page))


def inline_code(page: str) -> list[str]:
    """The texts between backticks outside of code blocks, line breaks as spaces."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))]


def links(page: str) -> list[str]:
    """The targets of a page's links and images, addresses of the web left out."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target for target in found if not target.startswith("https://")]


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(page: str, heading: str) -> list[dict[str, str]]:
    """The rows of all tables between a heading, as it is written, and the next; cells by column name."""
    text = text_of(page)
    part = text.split(f"\n{heading}\n", 1)[1]
    part = re.split(r"^#+ ", part, maxsplit=1, flags=re.MULTILINE)[0]
    found = []
    for table in re.findall(r"(?:^\|.*\|\n?)+", part, re.MULTILINE):
        names, _, *lines = [
            [cell.strip() for cell in line.strip()[1:-1].split("|")] for line in table.strip().splitlines()
        ]
        found += [dict(zip(names, line, strict=True)) for line in lines]
    return found


def notebook() -> list[Mapping[str, Any]]:
    """The cells of the notebook."""
    cells: list[Mapping[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return cells


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The texts that people read in a file, with their lines: paragraphs, strings of a module, cells of a notebook."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.lineno, node.value
    elif path.suffix == ".ipynb":
        for number, cell in enumerate(json.loads(source)["cells"], start=1):
            yield number, "".join(cell["source"])
    else:
        # code blocks are not prose, but keep their lines: the numbers stay right
        plain = _BLOCK.sub(lambda block: "\n" * block.group().count("\n"), source)
        first, paragraph = 1, ""
        plain = re.sub(r"`[^`]*`", lambda name: "`" + "\n" * name[0].count("\n") + "`", plain)  # names are not prose
        for number, line in enumerate([*plain.splitlines(), ""], start=1):
            if not line.strip() or line.lstrip().startswith(("|", "- ", "#")):
                if paragraph:
                    yield first, paragraph
                first, paragraph = number, line.strip()
            else:
                first = first if paragraph else number
                paragraph = f"{paragraph} {line.strip()}".strip()


def command_named(words: list[str]) -> tuple[Any, list[str]]:
    """The command that `words`, without the program's name, begin with, and the rest of them."""
    found: Any = typer.main.get_command(cli)
    rest = list(words)
    while hasattr(found, "commands"):
        assert rest and rest[0] in found.commands, f"lpse {' '.join(words)}: no such command"
        found = found.commands[rest.pop(0)]
    return found, rest


def options_of(command: Any) -> set[str]:
    """All spellings of the options of a command."""
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def all_options() -> set[str]:
    """The options of all commands, and of `lpse` itself."""

    def collect(command: Any) -> Iterator[str]:
        yield from options_of(command)
        for inner in getattr(command, "commands", {}).values():
            yield from collect(inner)

    return {name for name in collect(typer.main.get_command(cli)) if name.startswith("-")}
