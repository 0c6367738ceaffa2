"""Which audio tracks of a file are its sound, and that every reader agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray

from curation.media import audio_span, encode_preview, identify, mono_span, probe, write_proxies
from manifests.time import Segment
from tests.support import media_files as files

RATE = 48_000
SECONDS = 8.0


@dataclass(frozen=True)
class Track:
    """A track of a test's file: a tone of `hertz`, silence for 0."""

    hertz: float
    channels: int = 1
    marks: Disposition = Disposition(0)  # noqa: RUF009
    language: str = ""
    title: str = ""


def write(path: Path, tracks: Sequence[Track], codec: str = "aac") -> Path:
    with av.open(str(path), "w") as output:
        streams = []
        for track in tracks:
            layout = {1: "mono", 2: "stereo"}[track.channels]
            stream: Any = output.add_stream(codec, rate=RATE, layout=layout)
            stream.metadata.update({k: v for k, v in (("language", track.language), ("title", track.title)) if v})
            stream.disposition = track.marks
            streams.append(stream)
        for track, stream in zip(tracks, streams, strict=True):
            level = 0.3 if track.hertz else 0.0
            sound = files.tone(RATE, SECONDS, track.hertz or 100.0, track.channels, level)
            frame = av.AudioFrame.from_ndarray(
                _samples(sound, stream), stream.format.name.removesuffix("p"), stream.layout.name
            )
            frame.sample_rate = RATE
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return path


def _samples(sound: files.Float, stream: Any) -> NDArray[Any]:
    packed = np.ascontiguousarray(sound.T).reshape(1, -1)
    return (packed * 32767).astype(np.int16) if stream.format.name.startswith("s16") else packed


def tones(sound: files.Float) -> set[int]:
    """The frequencies that are in a signal (n,), in whole hertz."""
    second = sound[RATE : 2 * RATE]
    spectrum = np.abs(np.fft.rfft(second * np.hanning(len(second))))
    loud = np.flatnonzero(spectrum > 0.1 * spectrum.max())
    return {int(round(hertz, -1)) for hertz in loud} if spectrum.max() > 1 else set()


COMMENT, DEFAULT = Disposition.comment, Disposition.default


@pytest.mark.parametrize(
    ("tracks", "chosen", "channels"),
    [
        pytest.param([Track(300)], [0], 1, id="one"),
        pytest.param([Track(300), Track(500), Track(700)], [0, 1, 2], 3, id="a camera's microphones"),
        pytest.param([Track(300), Track(0), Track(700)], [0, 2], 2, id="an input without a microphone"),
        pytest.param([Track(300, 2), Track(500)], [0], 2, id="the game and the microphone"),
        pytest.param([Track(300, 2), Track(500, 2)], [0], 2, id="two mixes"),
        pytest.param([Track(300), Track(500, 2)], [0], 1, id="mono and stereo"),
        pytest.param([Track(0, 2), Track(500, 2)], [1], 2, id="the first is off"),
        pytest.param([Track(0), Track(0)], [0], 1, id="all are off"),
        pytest.param([Track(300, 2, COMMENT), Track(500, 2)], [1], 2, id="a commentary first"),
        pytest.param([Track(300, 2, COMMENT | DEFAULT), Track(500, 2)], [1], 2, id="a commentary by default"),
        pytest.param([Track(300, 2, COMMENT)], [0], 2, id="a commentary alone"),
        pytest.param([Track(300, title="Director's commentary"), Track(500)], [1], 1, id="a commentary by its title"),
        pytest.param([Track(300, language="eng"), Track(500, language="fra")], [0], 1, id="two languages"),
        pytest.param([Track(300, language="eng"), Track(500)], [0], 1, id="a language and none"),
        pytest.param([Track(300), Track(500, marks=DEFAULT)], [1], 1, id="a later one by default"),
    ],
)
def test_the_rule(tracks: list[Track], chosen: list[int], channels: int, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", tracks)
    info = probe(path)
    assert [track.index for track in info.tracks if track.chosen] == chosen
    assert info.audio is not None
    assert (info.audio.index, info.audio.channels) == (chosen[0], channels)
    (sound,) = {tuple(block.native.shape) for block in files.decode(path, block_seconds=60)}
    assert sound[0] == channels
    expected = {int(tracks[index].hertz) for index in chosen if tracks[index].hertz}
    assert tones(mono_span(path, 0.0, 4.0, RATE)) == expected


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_every_reader_and_writer_takes_the_same_tracks(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{suffix}", [Track(300), Track(500), Track(700)])
    write_proxies(path, Segment(1.0, 5.0), tmp_path / "a.m4a")
    preview = tmp_path / "a.webm"
    preview.write_bytes(encode_preview(path, Segment(1.0, 5.0)))
    blocks = files.decode(path, (RATE,))
    sounds = [files.mono(blocks, RATE), *(mono_span(one, 0.0, 4.0, RATE) for one in (tmp_path / "a.m4a", preview))]
    assert [tones(sound) for sound in sounds] == [{300, 500, 700}] * 3
    native = files.native(blocks)
    assert [tones(channel) for channel in native] == [{300}, {500}, {700}]


def test_a_span_of_merged_tracks_is_the_same_part_of_the_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", [Track(300), Track(500)], "pcm_s16le")
    whole = files.native(files.decode(path))
    for start, end in ((0.0, 1.0), (2.345, 5.0), (7.5, 9.0)):
        span = np.concatenate([piece for _, piece in audio_span(path, start, end)], axis=1)
        assert np.array_equal(span, whole[:, round(start * RATE) : round(end * RATE)])


def test_one_track_more_is_another_recording_and_the_order_of_packets_does_not_count(tmp_path: Path) -> None:
    two = write(tmp_path / "two.mkv", [Track(300), Track(500)])
    one = write(tmp_path / "one.mkv", [Track(300)])
    again = write(tmp_path / "again.mov", [Track(300), Track(500)])
    ids = [identify(path).recording_id for path in (two, one, again)]
    assert ids[0] == ids[2] != ids[1]


def test_what_was_left_is_described(tmp_path: Path) -> None:
    tracks = [Track(300, 2), Track(500, 2, COMMENT, "eng", "The director"), Track(0, 2)]
    info = probe(write(tmp_path / "a.mkv", tracks))
    about = [(track.chosen, track.role, track.language, track.title, track.silent) for track in info.tracks]
    assert about == [
        (True, "", "", "", False),
        (False, "comment", "eng", "The director", False),
        (False, "", "", "", True),
    ]
