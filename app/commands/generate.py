"""`lpse generate`: audio for a video of any length."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from ..display.text import long_clock as clock
from ..display.text import plural
from ..terminal.options import BadOption, CorpusOption
from ..terminal.run import command_run
from .features import chosen_device

if TYPE_CHECKING:
    from model.generation import Generated


def generate(
    video: Annotated[
        str, typer.Argument(metavar="VIDEO|CUT", help="A file, or the id of a cut of the corpus.", show_default=False)
    ],
    corpus: CorpusOption,
    base: Annotated[
        Path, typer.Option("--base", help="The base network: one of ours, or a released .pth.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help=".wav: audio alone; .mp4, .mov, .mkv, .webm: the video with it.", show_default=False
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            "--as", help="Keep a cut's audio in the corpus under this system's name, to compare.", show_default=False
        ),
    ] = None,
    adapters: Annotated[
        Path | None, typer.Option("--adapters", help="Adapters trained on this base.", show_default="the base alone")
    ] = None,
    stitch: Annotated[
        Literal["hard", "crossfade", "latent"],
        typer.Option(help="Join clips end to end, by a crossfade, or by a crossfade of their latents."),
    ] = "hard",
    overlap: Annotated[float, typer.Option(help="Overlap of neighbouring clips in seconds; none if hard.")] = 1.0,
    prompt: Annotated[
        str | None, typer.Option(help="A caption of the audio.", show_default="the cut's caption, else none")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the solver per clip.")] = 25,
    guidance: Annotated[float, typer.Option(help="Scale of classifier-free guidance; 1: none.")] = 4.5,
    seed: Annotated[int, typer.Option(min=0, help="Random seed; clip i uses seed + i.")] = 0,
    shared_noise: Annotated[bool, typer.Option("--shared-noise", help="Begin all clips with the same noise.")] = False,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="A recipe with the corpus's decision settings but other encoders.", show_default="the corpus's own"
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …; auto: a GPU if there is one.")] = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="Number type of the base; auto: bfloat16 on a GPU.")
    ] = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Clips sampled together.", show_default="8 on a GPU, 2 on a CPU")
    ] = None,
    compile_base: Annotated[
        bool,
        typer.Option("--compile", help="Compile the base first: takes minutes, pays for long videos on a GPU."),
    ] = False,
) -> None:
    """Generate audio for a video of any length. Clips share context; memory use is constant.

    The corpus names the encoders and has the codec that base and adapters were trained on. The video stream is copied
    unchanged.

    Example: lpse generate video.mp4 --corpus corpus/ --base base.safetensors --adapters adapters.safetensors --out
    video-with-audio.mp4
    """
    with command_run("generate", corpus, "stopped; nothing was written"):
        from manifests.generated import sound_path, write_notes
        from manifests.recipe import load_recipe
        from manifests.store import Corpus
        from model.generation import GenerationSettings, Sampling
        from model.generation import generate as run

        from ..terminal.progress import ProgressBars

        if (out is None) == (system is None):
            raise BadOption("name one of --out FILE and --as NAME")
        opened = Corpus.open(corpus)
        if system is not None:
            out = sound_path(opened, system, video)
            out.parent.mkdir(parents=True, exist_ok=True)
        assert out is not None
        where = chosen_device(device)
        kind = ("float32" if where == "cpu" else "bfloat16") if precision == "auto" else precision
        sampling = Sampling(steps, guidance, seed, shared_noise, batch_size, compile_base)
        began = time.monotonic()
        with ProgressBars() as bars:
            done = run(
                opened,
                video,
                out,
                base=base,
                adapters=adapters,
                prompt=prompt,
                recipe=load_recipe(recipe) if recipe else None,
                settings=GenerationSettings(stitch, overlap, sampling, kind),
                device=where,
                on_progress=bars,
            )
        if system is not None:
            trained = {"base": base.name, "adapters": adapters.name if adapters else None}
            how = {"prompt": prompt, "stitch": stitch, "steps": steps, "guidance": guidance, "seed": seed}
            write_notes(out, done.joins, {**trained, **how, "sample_rate": done.sample_rate})
        show_generated(done, time.monotonic() - began)


def show_generated(done: Generated, seconds: float, console: Console | None = None) -> None:
    """Print the length of the audio, the time it took, and the path of the file."""
    out = console or Console()
    clips = plural(done.clips, "clip")
    source = "features from the corpus's cache" if done.cached else "video encoded"
    rate = f"{done.seconds / seconds:.1f} times real time" if seconds else ""
    out.print(
        f"{clock(done.seconds)} of audio in {clips} at {done.sample_rate} Hz, {source}, in {clock(seconds)} ({rate})",
        highlight=False,
    )
    if done.subtitles_left_out:
        out.print(f"Left out: {plural(done.subtitles_left_out, 'subtitle track')}", highlight=False)
    out.print(f"Written: {shlex.quote(str(done.out))}", highlight=False, soft_wrap=True)
