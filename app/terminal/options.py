"""What all commands share: options, refusals in one line, the hint what to type next."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from manifests.errors import LpseError

INTERRUPTED, BAD_INPUT, FAULTS = 130, 2, 1

CorpusOption = Annotated[Path, typer.Option("--corpus", help="The corpus folder.", show_default=False)]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Worker processes.", show_default="one a core")
]


class BadOption(LpseError):
    """Options that contradict each other, or a value that an option cannot take."""


@contextmanager
def refusing_in_one_line(
    stopped: str = "stopped; what is done is kept: the same command goes on from here",
) -> Iterator[None]:
    """Bad input ends with exit code 2 and one line; what is our own fault keeps its traceback."""
    try:
        yield
    except (LpseError, OSError) as error:
        _complain(" ".join(str(error).split()))
        raise typer.Exit(BAD_INPUT) from error
    except KeyboardInterrupt:
        _complain(stopped)
        raise typer.Exit(INTERRUPTED) from None


def _complain(line: str) -> None:
    # names may hold bytes that are no UTF-8: shown, never a second error
    sys.stderr.write(f"lpse: {line}\n".encode("utf-8", "replace").decode("utf-8"))


def next_command(command: str) -> None:
    """Say what to type next."""
    typer.echo(f"Next: {command}")
