"""`lpse review`: the app for reviewers."""

from __future__ import annotations

import shlex
import time
from typing import Annotated

import typer

from ..terminal.options import CorpusOption
from ..terminal.run import command_run


def review(
    corpus: CorpusOption,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8501,
    host: Annotated[
        str, typer.Option(help="The address to serve. With the default, other machines cannot reach the app.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the app in the browser.")] = True,
) -> None:
    """Review the corpus in the browser: watch, play and decide. Press Ctrl-C to stop.

    Every decision is saved at once. The printed address has a key, new in each run, without which no browser gets in.
    Several corpora can be open at the same time, each at its own port.

    Example: lpse review --corpus corpus/
    """
    with command_run("review", corpus, "stopped; all decisions are saved"):
        from manifests.store import Corpus

        from ..review import is_loopback, serving

        opened = Corpus.open(corpus)
        opened.check_finished()
        with serving(opened, port, host) as running:
            if not is_loopback(host):
                typer.secho(
                    f"Warning: anybody who can reach {host} and has the address below, with its key, can play all "
                    "recordings and decide under any name",
                    fg="yellow",
                    err=True,
                )
            typer.echo(f"Review {corpus}: {running.entry} (Ctrl-C stops it)")
            if opened.recipe is None:
                typer.echo(f"The corpus has no decisions yet: lpse curate FOLDER --corpus {shlex.quote(str(corpus))}")
            if browser:
                typer.launch(running.entry)
            while True:
                time.sleep(3600)
