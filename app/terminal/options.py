"""What all commands share: options, refusals in one line, the hint what to type next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from manifests.errors import LpseError

CorpusOption = Annotated[Path, typer.Option("--corpus", help="The corpus folder.", show_default=False)]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Worker processes.", show_default="one a core")
]


class BadOption(LpseError):
    """Options that contradict each other, or a value that an option cannot take."""


def next_command(command: str) -> None:
    """Say what to type next."""
    typer.echo(f"Next: {command}")
