"""`lpse generate`: sound for a film of any length."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from ..display.text import long_clock as clock
from ..terminal.options import BadOption, CorpusOption
from ..terminal.run import command_run
from .features import chosen_device

if TYPE_CHECKING:
    from model.generation import Generated


def generate(
    film: Annotated[
        str, typer.Argument(metavar="VIDEO|CUT", help="A file, or the id of a cut of the corpus.", show_default=False)
    ],
    corpus: CorpusOption,
    base: Annotated[
        Path, typer.Option("--base", help="The base network, ours or a released .pth.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help=".wav: the sound; .mp4, .mov, .mkv, .webm: the video with it.", show_default=False),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            "--system", help="Keep a cut's sound in the corpus under this name instead, to compare.", show_default=False
        ),
    ] = None,
    adapters: Annotated[
        Path | None, typer.Option("--adapters", help="Adapters of this base.", show_default="the base alone")
    ] = None,
    stitch: Annotated[
        Literal["hard", "crossfade", "latent"],
        typer.Option(help="How clips are joined: end to end, crossfaded, or their latents brought together first."),
    ] = "hard",
    overlap: Annotated[float, typer.Option(help="Seconds that neighbouring clips share, except in hard joins.")] = 1.0,
    prompt: Annotated[
        str | None, typer.Option(help="What it sounds like.", show_default="the cut's caption, else nothing")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Of the solver, for each clip.")] = 25,
    guidance: Annotated[float, typer.Option(help="How far conditions count; 1 is as they are.")] = 4.5,
    seed: Annotated[int, typer.Option(min=0, help="Clip i begins with noise from seed + i.")] = 0,
    shared_noise: Annotated[bool, typer.Option("--shared-noise", help="All clips begin with the same noise.")] = False,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="A recipe that decides as the corpus's own and names other encoders.", show_default="its own"
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …")] = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="What the base computes in; auto: bfloat16 on a GPU.")
    ] = "auto",
    at_once: Annotated[
        int | None, typer.Option(min=1, help="Clips sampled together.", show_default="8 on a GPU, 2 on a CPU")
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Compile the base first: minutes that pay on a GPU for long films.")
    ] = False,
) -> None:
    """Make the sound of a video of any length, clip by clip, each knowing of the whole, in constant memory.

    The corpus names the encoders and holds the codec that base and adapters were trained on. The video's pictures are
    copied as they are.

    Example: lpse generate film.mp4 --corpus corpus/ --base base.safetensors --adapters adapters.safetensors --out
    film-with-sound.mp4
    """
    with command_run("generate", corpus, "stopped; nothing was written"):
        from manifests.generated import sound_path, write_notes
        from manifests.recipe import load_recipe
        from manifests.store import Corpus
        from model.generation import GenerationSettings, Sampling, clips_at_once
        from model.generation import generate as run

        from ..terminal.progress import ProgressBars

        if (out is None) == (system is None):
            raise BadOption("name one of --out FILE and --system NAME")
        opened = Corpus.open(corpus)
        if system is not None:
            out = sound_path(opened, system, film)
            out.parent.mkdir(parents=True, exist_ok=True)
        assert out is not None
        where = chosen_device(device)
        kind = ("float32" if where == "cpu" else "bfloat16") if precision == "auto" else precision
        sampling = Sampling(steps, guidance, seed, shared_noise, at_once or clips_at_once(where), fast)
        began = time.monotonic()
        with ProgressBars() as bars:
            done = run(
                opened,
                film,
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
    """Print what was made, how long it took, and how to hear it."""
    out = console or Console()
    clips = "1 clip" if done.clips == 1 else f"{done.clips} clips"
    source = "features from the corpus's cache" if done.cached else "pictures looked at"
    rate = f"{done.seconds / seconds:.1f} s of film a second" if seconds else ""
    out.print(
        f"{clock(done.seconds)} of sound in {clips} at {done.sample_rate} Hz, {source}, in {clock(seconds)} ({rate})",
        highlight=False,
    )
    out.print(f"Hear it: {shlex.quote(str(done.out))}", highlight=False, soft_wrap=True)
