"""`make bench-clips`: thousands of clips too short for a cut; seconds of curate, deciding, replay and validate.

With --against, another checkout with a `.venv` of its own runs over the same clips, and each figure stands beside its
share of that one's. Deciding is what `curate` does after it has identified and scored: copies, decisions, tables. With
--min-duration the clips are long enough for cuts: then all of them are scored.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.media import write_media
from tests.support import ROOT

RATE = 16_000
ASKED = 10.0  # times faster
PHASES = re.compile(r"(?:Identifying|Scoring|Looking)[^\n]*? in ([\d.]+) s")
Seconds = tuple[float, float]
"""By the clock, and of processors."""
STEPS = ("curate", "deciding", "replay", "validate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a clip")
    parser.add_argument("--min-duration", type=float, help="shortest cut; without it, that of the default recipe")
    parser.add_argument("--against", type=Path, help="a checkout to compare with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made(folder / "media", options.clips, options.seconds)
        recipe = "default"
        if options.min_duration is not None:
            recipe = str(folder / "recipe.toml")
            text = f'extends = "default"\nname = "short"\n[spans]\nmin_duration = {options.min_duration}\n'
            Path(recipe).write_text(text, encoding="utf-8")
        own = figures(ROOT, Path(sys.executable).with_name("lpse"), folder, "own", recipe)
        other: Mapping[str, Seconds] = {}
        if options.against is not None:
            program = options.against.absolute() / ".venv" / "bin" / "lpse"
            other = figures(options.against, program, folder, "other", recipe)
    print(f"{options.clips} clips of {options.seconds:g} s, seconds by the clock and of processors:")
    for step in STEPS:
        wall, used = own[step]
        line = f"  {step:<10}{wall:>8.2f}{used:>8.2f}"
        if other:
            before, before_used = other[step]
            asked = f"at least {ASKED:g}x" if step != "curate" else ""
            line += f"   before {before:>8.2f}{before_used:>8.2f}   {before / wall:>6.1f}x   {asked}"
        print(line.rstrip())


def made(folder: Path, count: int, seconds: float) -> None:
    """Clips of noise, each of its own."""
    folder.mkdir()
    for number in range(count):
        rng = np.random.default_rng(number)

        def sound(draw: np.random.Generator = rng) -> Iterator[NDArray[np.float32]]:
            yield (0.1 * draw.standard_normal(round(seconds * RATE))).astype(np.float32)[None]

        path = folder / f"clip_{number:05d}.wav"
        write_media(path, audio=sound(), sample_rate=RATE, audio_codec="pcm_s16le")


def figures(checkout: Path, program: Path, folder: Path, name: str, recipe: str) -> dict[str, Seconds]:
    """The seconds of each step with the `lpse` of a checkout, in a corpus of its own.

    Deciding has no processor time of its own: workers of several phases overlap in it.
    """
    corpus = ["--corpus", str(folder / name)]

    def run(*words: str) -> tuple[Seconds, str]:
        began, used = time.monotonic(), _used()
        done = subprocess.run([program, *words], cwd=checkout, text=True, capture_output=True)
        if done.returncode:
            sys.exit(f"{program} {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return (time.monotonic() - began, _used() - used), done.stdout + done.stderr

    curate, shown = run("curate", str(folder / "media"), "--recipe", recipe, *corpus)
    deciding = curate[0] - sum(float(seconds) for seconds in PHASES.findall(shown))
    replay, _ = run("replay", "--recipe", recipe, *corpus)
    validate, _ = run("validate", *corpus)
    return dict(zip(STEPS, (curate, (deciding, float("nan")), replay, validate), strict=True))


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
