"""`make bench-cases`: odd files that people have, what is right for each, and what this program makes of them.

Takes a folder of cases with a script each (LPSE_CASES or --cases; ../shared/cases by default), which makes its input
out of recordings (LPSE_MEDIA or --media; ../shared/media by default) with FFmpeg. Every input is curated under the default recipe in a
corpus of its own. Prints a row per case; the exit status is 1 if one of them is wrong.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from curation.media import frames, identify, mono_span, plays_as_read, seconds_shown, sound_onto, write_proxies
from curation.pipeline.curate import curate
from manifests.recipe import load_recipe
from manifests.records import Cut, Event, Recording
from manifests.store import Corpus
from manifests.time import Segment
from tests.support.media_files import lag

HERE = Path(__file__).resolve()
SHARED = HERE.parents[3] / "shared"
VOICE = Segment(40.0, 50.0)  # where the scripts put ten seconds of speech
RATE = 16_000


@dataclass(frozen=True)
class Row:
    """One case: what is right, what was found, and whether that is it."""

    case: str
    right: str
    found: str
    is_right: bool


@dataclass(frozen=True)
class Curated:
    """A file and the rows of a corpus that holds it alone."""

    path: Path
    recording: Recording
    cuts: list[Cut]
    events: list[Event]

    def accepts(self, span: Segment) -> bool:
        """True if an accepted cut overlaps the span."""
        return any(cut.decision == "accept" and cut.segment.overlaps(span) for cut in self.cuts)

    def speech(self, span: Segment) -> bool:
        """True if speech was found in the span."""
        return any(event.label == "speech" and event.segment.overlaps(span) for event in self.events)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, default=Path(os.environ.get("LPSE_CASES", SHARED / "cases")))
    parser.add_argument("--media", type=Path, default=Path(os.environ.get("LPSE_MEDIA", SHARED / "media")))
    options = parser.parse_args()
    if not (options.cases / "README.md").is_file() or not (options.media / "truth.jsonl").is_file():
        parser.error(f"{options.cases}, {options.media}: no cases, or no recordings")
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        make(base, options.cases, options.media)
        rows = list(checked(base))
    for row in rows:
        print(f"{'right' if row.is_right else 'WRONG'}  {row.case:<28} {row.right:<58} {row.found}")
    wrong = sum(not row.is_right for row in rows)
    print(f"\n{len(rows) - wrong} of {len(rows)} right")
    sys.exit(bool(wrong))


def make(base: Path, cases: Path, media: Path) -> None:
    """Make all inputs in `base`."""
    bed, film = media / "p01_wind_chimes_garden.mp4", base / "film.mp4"
    ffmpeg(base, "-i", bed, "-vn", "-ac", "2", "-ar", "48000", "bed.wav")
    ffmpeg(base, "-ss", "66", "-t", "10", "-i", media / "s01_rain_reader_p10.mp4", "-vn", "-ar", "48000", "voice.wav")
    ffmpeg(base, "-i", bed, "-an", "-c", "copy", film)
    commands: list[tuple[str, list[str | Path]]] = [
        ("joined_ts_wrong_sound", [media / "s01_rain_reader_p10.mp4", "joined.ts"]),
        ("ts_segments_restart", ["bed.wav", "segments.ts"]),
        ("ts_clock_jump", ["bed.wav", "jump.ts"]),
        ("other_tracks", ["bed.wav", "voice.wav", film]),
        ("review_plays_other_second", []),
        ("generate_joined_ts", [bed, "generate.ts"]),
        ("hvc1_becomes_hev1", [bed, "phone.mov"]),
        ("healthy_called_damaged", ["bed.wav", "healthy.mp4"]),
        ("voice_cancels_in_mean", ["bed.wav", "voice.wav"]),
    ]
    for name, arguments in commands:
        run(base, cases / name, arguments)
    for seed in range(1, 11):
        (base / f"loops {seed}").mkdir()
        run(base, cases / "crash_shared_loops", [base / f"loops {seed}", str(seed)])


def run(base: Path, case: Path, arguments: list[str | Path]) -> None:
    script = next(case.glob("make.*"))
    program = ["bash"] if script.suffix == ".sh" else [sys.executable]
    subprocess.run([*program, str(script), *map(str, arguments)], cwd=base, check=True)


def ffmpeg(base: Path, *arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], cwd=base, check=True)


def curated(path: Path) -> Curated:
    """Curate one file."""
    corpus = Corpus.create(path.parent / f"corpus of {path.name}")
    curate(corpus, [path], load_recipe("default"), workers=1)
    (recording,) = corpus.rows(Recording)
    return Curated(path, recording, list(corpus.rows(Cut)), list(corpus.rows(Event)))


def checked(base: Path) -> Iterator[Row]:
    """Check every case."""
    for check in (loops, joined, segments, jump, voices, tracks, players, generated, tags, healthy):
        yield from check(base)


def loops(base: Path) -> Iterator[Row]:
    committed = 0
    for seed in range(1, 11):
        corpus = Corpus.create(base / f"loops corpus {seed}")
        try:
            curate(corpus, [base / f"loops {seed}"], load_recipe("default"), workers=1)
            committed += corpus.table("recordings").count()
        except ValueError as error:
            print(f"loops, seed {seed}: {error}", file=sys.stderr)
    yield Row("shared loops", "10 pairs, all committed", f"{committed} of 20 recordings committed", committed == 20)


def joined(base: Path) -> Iterator[Row]:
    one = curated(base / "joined.ts")
    speech = all(one.speech(Segment(start, end)) for start, end in ((26.0, 52.0), (120.0, 146.0)))
    clean = not any(cut.segment.overlaps(Segment(*span)) for cut in one.cuts for span in ((27.0, 51.0), (121.0, 145.0)))
    (cut,) = one.cuts or [None]
    late = None if cut is None else proxy_lag(base, one.path, cut.segment)
    found = f"speech {'found' if speech else 'MISSED'}, cut {span_of(cut)}, proxy {late} samples late"
    yield Row(
        "two transport streams", "speech 26-52, 120-146 s; proxies hold the cut", found, speech and clean and late == 0
    )


def proxy_lag(base: Path, path: Path, segment: Segment) -> int:
    """Samples by which a proxy is late against the scored audio."""
    write_proxies(path, segment, base / "proxy.m4a", base / "proxy.mp4")
    scored = mono_span(path, 0.0, segment.end, RATE)[round(segment.start * RATE) :]
    return max(
        abs(lag(mono_span(base / name, 0.0, segment.duration, RATE), scored)) for name in ("proxy.m4a", "proxy.mp4")
    )


def span_of(cut: Cut | None) -> str:
    return "none" if cut is None else f"{cut.start:.0f}-{cut.end:.0f} s {cut.decision}"


def segments(base: Path) -> Iterator[Row]:
    one = curated(base / "segments.ts")
    hidden = any(one.accepts(Segment(time - 0.01, time + 0.01)) for time in one.recording.splices)
    length, joins = one.recording.duration or 0.0, len(one.recording.splices)
    found = f"{length:.1f} s, {joins} joins, {'HIDDEN' if hidden else 'none in an accepted cut'}"
    yield Row(
        "clocks that start anew",
        "100 s, 16 joins, none in an accepted cut",
        found,
        abs(length - 100) < 0.5 and joins == 16 and not hidden,
    )


def jump(base: Path) -> Iterator[Row]:
    one = curated(base / "jump.ts")
    length = one.recording.duration or 0.0
    lost = sum(event.segment.duration for event in one.events if event.label == "artifact")
    yield Row(
        "a clock set ahead",
        "128 s, nothing lost",
        f"{length:.1f} s, {lost:.1f} s lost",
        abs(length - 128) < 0.5 and lost < 1,
    )


def voices(base: Path) -> Iterator[Row]:
    for name in ("one_side_inverted", "raw_mid_side_voice_right", "control_in_phase"):
        accepted = curated(base / f"{name}.flac").accepts(VOICE)
        yield Row(
            name.replace("_", " "),
            "the voice is in no accepted cut",
            "accepted" if accepted else "not accepted",
            not accepted,
        )


def tracks(base: Path) -> Iterator[Row]:
    camera = curated(base / "camera_mono_tracks.mov")
    found = f"{camera.recording.channels} channels, speech {'found' if camera.speech(VOICE) else 'MISSED'}"
    yield Row(
        "a camera's mono tracks",
        "3 channels, speech found",
        found,
        camera.recording.channels == 3 and camera.speech(VOICE),
    )
    game = curated(base / "obs_mic_on_track2.mkv")
    reasons = sorted({reason for cut in game.cuts for reason in cut.reasons})
    known = len(game.recording.audio_tracks) == 2
    yield Row(
        "a microphone's own track",
        "both known; for review",
        f"{len(game.recording.audio_tracks)} known, {', '.join(reasons)}",
        known and "other_tracks" in reasons,
    )
    film = curated(base / "commentary_first.mkv")
    chosen = [track.role for track in film.recording.audio_tracks if track.chosen]
    yield Row(
        "a commentary first",
        "the other track is read",
        f"read: {chosen}, speech {film.speech(VOICE)}",
        chosen == [""] and not film.speech(VOICE),
    )


def players(base: Path) -> Iterator[Row]:
    for name in ("joined.mp3", "chained.ogg"):
        trusted = plays_as_read(base / name, identify(base / name).duration)
        yield Row(f"review plays {name}", "a copy", "the file itself" if trusted else "a copy", not trusted)


def generated(base: Path) -> Iterator[Row]:
    path, out = base / "generate.ts", base / "generated.mp4"
    put_sound(path, out)
    one, whole = identify(out), [frame.image.mean() for frame in frames(out, 5.0)]
    source = [frame.image.mean() for frame in frames(path, 5.0)]
    same = len(whole) == len(source) and np.allclose(whole, source, atol=2.0)
    found = f"film {one.video_end:.1f} s, sound {one.audio_end:.1f} s, pictures {'as before' if same else 'OTHER'}"
    right = abs((one.video_end or 0) - 12) < 0.2 and abs((one.audio_end or 0) - 12) < 0.2 and same
    yield Row("generate on two streams", "12 s of film and sound", found, right)


def put_sound(path: Path, out: Path) -> None:
    sound_onto(path, [np.zeros((1, round(seconds_shown(path) * RATE)), np.float32)], RATE, out)


def tags(base: Path) -> Iterator[Row]:
    put_sound(base / "phone.mov", base / "phone.mp4")
    with av.open(str(base / "phone.mp4")) as container:
        tag = container.streams.video[0].codec_context.codec_tag
    yield Row("a phone's HEVC", "hvc1", tag, tag == "hvc1")
    put_sound(base / "alpha.webm", base / "alpha out.webm")
    with av.open(str(base / "alpha out.webm")) as container:
        alpha = {key.lower() for key in container.streams.video[0].metadata}
    yield Row(
        "a transparent film", "alpha_mode", "alpha_mode" if "alpha_mode" in alpha else "lost", "alpha_mode" in alpha
    )


def healthy(base: Path) -> Iterator[Row]:
    one = curated(base / "healthy.mp4")
    yield Row("fragments with B-frames", "ok", one.recording.status, one.recording.status == "ok")


if __name__ == "__main__":
    main()
