"""`python -m tests.bench.proxies`: what proxies cost in time and bytes, beside the plain way of making them.

The plain way is two passes for each window, as a shell script would make them: one decodes picture and sound from the
file's beginning and encodes what lies in the window, one does so again for the sound alone. Both sides use the same
encoders with the same settings, one thread, and each file is read once before the clock starts.

Without arguments it makes a recording of its own, 1280 x 720 with 30 pictures a second, in a temporary folder;
`--media` names real ones. Times are of this machine; the ratio is what to compare.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.media import PROXY_FPS, probe, write_media, write_proxies
from curation.media.proxy import _AAC, _MONO_BITRATE, _STEREO_BITRATE, _X264, proxy_size
from curation.runner.process import ONE_THREAD
from manifests.time import Segment

HERE = Path(__file__).resolve()
WINDOW, OVERLAP = 180.0, 2.0
RATE = 48_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, nargs="+", help="recordings to cut, in place of one made here")
    parser.add_argument("--minutes", type=float, default=6.0, help="length of the recording made here")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.here:  # as a worker: libraries that would spin up threads use one
        again = [sys.executable, "-m", f"tests.bench.{HERE.stem}", *sys.argv[1:], "--here"]
        environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(HERE.parents[2])}
        sys.exit(subprocess.run(again, env=environment, check=False).returncode)
    with tempfile.TemporaryDirectory() as folder:
        recordings = options.media or [made(Path(folder) / "made.mp4", options.minutes * 60)]
        for path in recordings:
            measure(path, Path(folder))


def made(path: Path, seconds: float) -> Path:
    """A camera that pans over a large picture, with some grain, and noise that swells: a minute, over and over."""
    import av

    rng = np.random.default_rng(1)
    wide = np.kron(rng.integers(0, 256, (30, 50, 3)), np.ones((36, 36, 1))).astype(np.int16)
    grain = rng.normal(0, 3, (7, 720, 1280, 1)).astype(np.int16)

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for k in range(60 * 30):
            down, right = int(180 + 170 * np.sin(k / 97)), int(260 + 250 * np.cos(k / 131))
            yield np.clip(wide[down : down + 720, right : right + 1280] + grain[k % 7], 0, 255).astype(np.uint8)

    def sound() -> Iterator[NDArray[np.float32]]:
        for second in range(60):
            swell = 0.1 + 0.08 * np.sin(2 * np.pi * (second + np.arange(RATE) / RATE) / 7)
            yield (swell * rng.standard_normal((2, RATE))).astype(np.float32)

    minute = path.with_name("minute.mp4")
    encoder = {"preset": "superfast", "bf": "0", "crf": "28"}
    write_media(minute, frames=pictures(), fps=30, video_options=encoder, audio=sound(), sample_rate=RATE)
    with av.open(str(path), "w") as sink:
        copies: dict[int, Any] = {}
        for number in range(round(seconds / 60)):
            with av.open(str(minute)) as source:
                for stream in source.streams if not copies else ():
                    copies[stream.index] = sink.add_stream_from_template(stream)
                packets: list[Any] = [packet for packet in source.demux() if packet.size]
                for packet in packets:
                    if number and packet.pts < 0:
                        continue  # the encoder's start, which belongs before the first minute alone
                    for name in ("pts", "dts"):
                        setattr(packet, name, getattr(packet, name) + round(60 * number / packet.time_base))
                    packet.stream = copies[packet.stream_index]
                    sink.mux(packet)
    return path


@dataclass
class Cost:
    """Seconds of processor and of clock, for so many seconds of recording."""

    cpu: float = 0.0
    wall: float = 0.0
    seconds: float = 0.0
    bytes: int = 0

    def add(self, work: Callable[[], None], seconds: float, *written: Path) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        self.cpu += time.process_time() - cpu
        self.wall += time.perf_counter() - wall
        self.seconds += seconds
        self.bytes += sum(path.stat().st_size for path in written)

    def line(self, name: str) -> str:
        hours = self.seconds / 3600
        return (
            f"{name:24} {self.cpu / hours:8.0f} CPU s  {self.wall / hours:8.0f} s  {self.bytes / 1e6 / hours:8.0f} MB"
            "  per hour of windows"
        )


def measure(path: Path, folder: Path) -> None:
    info = probe(path)
    assert info.audio is not None and info.duration is not None
    count = max(1, math.ceil((info.duration - OVERLAP) / (WINDOW - OVERLAP)))
    starts = [number * (WINDOW - OVERLAP) for number in range(count)]
    windows = [Segment(start, min(start + WINDOW, info.duration)) for start in starts]
    picture = f"{info.video.width} x {info.video.height}, {info.video.fps:.3g} a second" if info.video else "no picture"
    print(f"{path.name}: {info.duration / 60:.1f} min, {picture}, {len(windows)} windows of at most {WINDOW:.0f} s")
    path.read_bytes()
    ours, ours_sound, plain, plain_sound = Cost(), Cost(), Cost(), Cost()
    sound, video = folder / "proxy.m4a", folder / "proxy.mp4"
    for window in windows:
        seconds = window.duration
        if info.video:
            ours.add(lambda w=window: write_proxies(path, w, sound, video), seconds, sound, video)  # type: ignore[misc]
        ours_sound.add(lambda w=window: write_proxies(path, w, sound), seconds, sound)  # type: ignore[misc]
        if info.video:
            plain.add(lambda w=window: plain_pass(path, w, video, True), seconds, video)  # type: ignore[misc]
        plain_sound.add(lambda w=window: plain_pass(path, w, sound, False), seconds, sound)  # type: ignore[misc]
    both = Cost(
        plain.cpu + plain_sound.cpu, plain.wall + plain_sound.wall, plain.seconds, plain.bytes + plain_sound.bytes
    )
    if info.video:
        print(ours.line("mp4 + m4a"))
        print(both.line("  the plain two passes") + f"   {both.cpu / ours.cpu:.1f} times as much")
    print(ours_sound.line("m4a alone"))
    print(plain_sound.line("  the plain pass") + f"   {plain_sound.cpu / ours_sound.cpu:.1f} times as much")


def plain_pass(path: Path, window: Segment, target: Path, with_picture: bool) -> None:
    """Decode all from the beginning, keep what lies in the window."""
    import av

    with av.open(str(path)) as source, av.open(str(target), "w", options={"movflags": "+faststart"}) as sink:
        streams: Sequence[Any] = [source.streams.audio[0], *(source.streams.video[:1] if with_picture else [])]
        layout = "stereo" if with_picture and streams[0].channels > 1 else "mono"
        bitrate = _STEREO_BITRATE if with_picture else _MONO_BITRATE
        rate = streams[0].rate
        sound: Any = sink.add_stream("aac", rate=rate, layout=layout, bit_rate=bitrate, options=_AAC)
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        film: Any = None
        if with_picture:
            film = sink.add_stream("libx264", rate=PROXY_FPS, options=_X264)
            film.width, film.height = proxy_size(streams[1].width, streams[1].height, 1.0, 0)
            film.pix_fmt = "yuv420p"
        for stream in streams:
            stream.thread_count = 1
        shown = heard = 0
        for packet in source.demux(streams):
            frames: list[Any] = packet.decode()
            for frame in frames:
                now = frame.time
                if now is None or not window.contains(now):
                    continue
                if packet.stream.type == "audio":
                    for piece in resampler.resample(frame):
                        piece.pts, piece.time_base = heard, Fraction(1, rate)
                        heard += piece.samples
                        sink.mux(sound.encode(piece))
                elif film is not None:
                    small = frame.reformat(film.width, film.height, "yuv420p")
                    small.pict_type = 0
                    while shown / PROXY_FPS <= now - window.start:
                        small.pts, small.time_base = shown, Fraction(1, PROXY_FPS)
                        shown += 1
                        sink.mux(film.encode(small))
            if packet.dts is not None and packet.dts * packet.time_base > window.end + 1:
                break
        for stream in filter(None, (sound, film)):
            sink.mux(stream.encode(None))


if __name__ == "__main__":
    main()
