"""Shared by all commands: options, the error for invalid options, and the hint about the next command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from manifests.errors import LpseError

CorpusOption = Annotated[Path, typer.Option("--corpus", help="The corpus folder.", show_default=False)]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Number of worker processes.", show_default="one per core")
]


class BadOption(LpseError):
    """Options that contradict each other, or an invalid value of an option."""


def renamed(old: str, new: str) -> Any:
    """A hidden option that refuses the former name `old` of an option, and names its new name `new`."""

    def refuse(value: str | None) -> None:
        if value is not None:
            raise typer.BadParameter(f"renamed to {new}")

    return typer.Option(old, hidden=True, callback=refuse, metavar="RENAMED")


def next_command(command: str) -> None:
    """Print the command that follows this one."""
    typer.echo(f"Next: {command}")
