"""`lpse annotate`: rounds of annotation in Label Studio, and the verdicts made of them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from manifests.records import Annotation, Task, Verdict

from ..terminal.options import CorpusOption, WorkersOption, next_command, renamed
from ..terminal.run import command_run

if TYPE_CHECKING:
    from annotation.labelstudio.client import Server
    from manifests.store import Corpus

annotate = typer.Typer(
    name="annotate",
    help="Send uncertain spans to annotators in Label Studio, and turn their answers into verdicts.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", help="Address of your own Label Studio server.", envvar="LPSE_LABEL_STUDIO_URL", show_default=False
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token", help="Access token of that server; the environment variable is safer.",
        envvar="LPSE_LABEL_STUDIO_TOKEN", show_default=False,
    ),
]  # fmt: skip
MediaOption = Annotated[
    str | None,
    typer.Option(
        "--media-url",
        help="Address at which CORPUS/proxies is served, for a Label Studio without access to these files.",
        show_default=False,
    ),
]


@annotate.command()
def serve(
    corpus: CorpusOption,
    port: Annotated[int | None, typer.Option(help="The port.", show_default="the first free one from 8080")] = None,
) -> None:
    """Run a Label Studio server for this corpus on this machine until Ctrl-C.

    The first run installs Label Studio into its own environment (about 1 GB, some minutes). Its data are in
    CORPUS/annotation. The password of the administrator is in CORPUS/annotation/server.toml, readable by you only.

    Example: lpse annotate serve --corpus corpus/
    """
    with command_run("annotate serve", corpus, "stopped; all answers are saved: the same command starts it again"):
        from annotation.server import serving
        from manifests.store import Corpus

        opened = Corpus.open(corpus)
        with serving(opened, port, on_line=typer.echo) as running:
            name = shlex.quote(str(corpus))
            typer.echo(f"Label Studio: {running.url}")
            typer.echo(f"  log in as {running.email}; the password is in {corpus}/annotation/server.toml")
            typer.echo(f"  invite annotators: lpse annotate invite --corpus {name}")
            typer.echo(f"  send tasks, in another terminal: lpse annotate push --corpus {name}")
            typer.echo("Press Ctrl-C to stop the server.")
            running.wait()


@annotate.command()
def invite(corpus: CorpusOption, url: UrlOption = None, token: TokenOption = None) -> None:
    """Print the link with which annotators sign up. Anybody with the link can sign up: share it with care.

    Example: lpse annotate invite --corpus corpus/
    """
    with command_run("annotate invite", corpus):
        from annotation.server import access, invite_link
        from manifests.store import Corpus

        typer.echo(invite_link(access(Corpus.open(corpus), url, token)))


@annotate.command()
def push(
    corpus: CorpusOption,
    cuts: Annotated[int, typer.Option(min=0, help="Maximum number of cuts for review in this round.")] = 500,
    agreement: Annotated[float, typer.Option(min=0, max=1, help="Share of them that several annotators get.")] = 0.1,
    annotators: Annotated[int, typer.Option(min=2, help="Number of annotators for each of these.")] = 3,
    audit: Annotated[float, typer.Option(min=0, max=1, help="Random accepted cuts to add, as a share.")] = 0.05,
    gold: Annotated[float, typer.Option(min=0, max=1, help="Gold tasks to add, as a share.")] = 0.05,
    round: Annotated[
        int | None, typer.Option("--round", min=1, help="Number of the round.", show_default="the latest")
    ] = None,
    url: UrlOption = None,
    token: TokenOption = None,
    media_url: MediaOption = None,
    workers: WorkersOption = None,
    listeners: Annotated[str | None, renamed("--listeners", "--annotators")] = None,
) -> None:
    """Select the most informative cuts for annotation and send them to Label Studio.

    A round is planned once. The same command sends tasks that are still missing, and no task twice. To plan the next
    round, add 1 to --round.

    Example: lpse annotate push --corpus corpus/ --cuts 200
    """
    with command_run("annotate push", corpus):
        from annotation.rounds.push import push as run
        from annotation.tasks.routing import Routing
        from curation.runner import default_workers

        from ..terminal.progress import ProgressBars
        from ..terminal.tables import show_delivery

        opened, server = _opened(corpus, url, token)
        routing = Routing(cuts=cuts, agreement=agreement, annotators=annotators, audit=audit, gold=gold)
        with ProgressBars() as bars:
            delivery = run(
                opened,
                server,
                routing,
                workers=workers or default_workers(),
                round=round,
                media_url=media_url,
                on_progress=bars,
            )
        show_delivery(delivery)
        next_command(f"lpse annotate pull --corpus {shlex.quote(str(corpus))}   (after annotation)")


@annotate.command()
def pull(corpus: CorpusOption, url: UrlOption = None, token: TokenOption = None) -> None:
    """Fetch new and changed answers of annotators. All versions of an answer are stored.

    Example: lpse annotate pull --corpus corpus/
    """
    with command_run("annotate pull", corpus):
        from annotation.rounds.pull import pull as run

        from ..terminal.progress import ProgressBars
        from ..terminal.tables import show_pulled

        opened, server = _opened(corpus, url, token)
        with ProgressBars() as bars:
            pulled = run(opened, server, bars)
        show_pulled(pulled)
        next_command(f"lpse annotate adjudicate --corpus {shlex.quote(str(corpus))}")


@annotate.command()
def agreement(corpus: CorpusOption) -> None:
    """Measure the agreement of annotators with each other, with gold answers and with pre-labels.

    The figures are also written to CORPUS/reports/agreement.parquet, and lpse report shows them.

    Example: lpse annotate agreement --corpus corpus/
    """
    with command_run("annotate agreement", corpus):
        from annotation.agreement import agreement_table, measure_agreement
        from annotation.tasks.windows import prelabel_counts
        from manifests.files import write_beside
        from manifests.parquet import write_parquet
        from manifests.store import Corpus

        from ..terminal.agreement import show_agreement

        opened = Corpus.open(corpus)
        tasks = list(opened.rows(Task))
        answers, verdicts = opened.rows(Annotation), opened.rows(Verdict)
        measured = measure_agreement(tasks, answers, verdicts, predicted=prelabel_counts(tasks))
        show_agreement(measured)
        path = corpus / "reports" / "agreement.parquet"
        with write_beside(path) as file:
            write_parquet(agreement_table(measured), file)
        typer.echo(f"All figures: {path}")
        next_command(f"lpse report --corpus {shlex.quote(str(corpus))}")


@annotate.command()
def adjudicate(
    corpus: CorpusOption,
    rule: Annotated[str, typer.Option(help="majority, weighted (by gold answers) or dawid_skene.")] = "majority",
    min_confidence: Annotated[float, typer.Option(min=0, max=1, help="Lower confidence is a conflict.")] = 0.6,
    local: Annotated[bool, typer.Option("--local", help="Only count conflicts, do not send them.")] = False,
    url: UrlOption = None,
    token: TokenOption = None,
    media_url: MediaOption = None,
    workers: WorkersOption = None,
) -> None:
    """Turn answers into verdicts, and send conflicts to an adjudicator in a separate project.

    Verdicts override the detectors; the next replay applies them.

    Example: lpse annotate adjudicate --corpus corpus/ --rule weighted
    """
    with command_run("annotate adjudicate", corpus):
        from annotation.consensus import ConsensusSettings, rule_named
        from annotation.rounds.adjudicate import adjudicate as run
        from curation.runner import default_workers
        from manifests.store import Corpus

        from ..terminal.progress import ProgressBars
        from ..terminal.tables import show_adjudicated

        settings = ConsensusSettings(rule=rule_named(rule), min_confidence=min_confidence)
        opened, server = (Corpus.open(corpus), None) if local else _opened(corpus, url, token)
        with ProgressBars() as bars:
            result = run(
                opened, settings, server, workers=workers or default_workers(), media_url=media_url, on_progress=bars
            )
        show_adjudicated(result)
        name = shlex.quote(str(corpus))
        next_command(f"lpse replay --corpus {name} --recipe {_recipe_name(opened)}")


def _opened(corpus: Path, url: str | None, token: str | None) -> tuple[Corpus, Server]:
    from annotation.labelstudio.client import Server
    from annotation.server import access
    from manifests.store import Corpus

    opened = Corpus.open(corpus)
    return opened, Server(access(opened, url, token))


def _recipe_name(corpus: Corpus) -> str:
    return str((corpus.recipe or {}).get("name", "default"))
