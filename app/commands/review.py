"""`lpse review`: the app in which curators see, hear and decide."""

from __future__ import annotations

import shlex
import time
from typing import Annotated

import typer

from ..terminal.options import CorpusOption
from ..terminal.run import command_run


def review(
    corpus: CorpusOption,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8501,
    host: Annotated[
        str, typer.Option(help="Other machines reach the app only by another one than this.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in the browser.")] = True,
) -> None:
    """Open the corpus in the browser: see, hear and decide. Ends with Ctrl-C; every decision is kept at once.

    Several corpora can be open at once, each at a port of its own.

    Example: lpse review --corpus corpus/
    """
    with command_run("review", corpus, "stopped; every decision is kept"):
        from manifests.store import Corpus

        from ..review import is_loopback, serving

        opened = Corpus.open(corpus)
        opened.check_finished()
        with serving(opened, port, host) as address:
            if not is_loopback(host):
                typer.secho(
                    f"Warning: whoever reaches {host} hears every recording of this corpus and decides under any name",
                    fg="yellow",
                    err=True,
                )
            typer.echo(f"Review {corpus}: {address} (Ctrl-C ends it)")
            if opened.recipe is None:
                typer.echo(f"Nothing was curated yet: lpse curate FOLDER --corpus {shlex.quote(str(corpus))}")
            if browser:
                typer.launch(address)
            while True:
                time.sleep(3600)
