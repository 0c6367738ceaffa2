"""Every reader and writer finds the second that was scored, in files whose own clock would lead elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curation.media import (
    audio_span,
    encode_preview,
    frames,
    identify,
    mono_span,
    seconds_shown,
    sound_onto,
    write_media,
)
from curation.media.proxy import write_proxies
from manifests.time import Segment
from tests.support import media_files as files
from tests.support.odd_clocks import FPS, ODD, RATE, Odd

NEAR = 0.020  # seconds; every reader agrees to this
LOUD = 0.2


FILMS = [name for name, make in ODD.items() if make.has_video]


@pytest.fixture(scope="module", params=ODD)
def odd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Odd:
    return ODD[str(request.param)](tmp_path_factory.mktemp("odd"))


@pytest.fixture(scope="module")
def scored(odd: Odd) -> files.Float:
    """The sound that detectors get."""
    sound: files.Float = files.native(files.decode(odd.path))[0]
    return sound


def bursts(sound: files.Float, rate: int, begin: float = 0.0) -> list[float]:
    return [begin + time for time in files.peaks(sound, rate, LOUD)]


def inside(times: list[float] | tuple[float, ...], start: float, end: float) -> list[float]:
    return [time for time in times if start + 0.1 <= time < end - 0.1]


def test_all_of_the_sound_is_scored_in_its_place(odd: Odd, scored: files.Float) -> None:
    found = bursts(scored, RATE)
    assert len(found) == len(odd.bursts)
    # an encoder's padding lies before each part, the first included
    allowed = [NEAR + 0.06 * (1 + sum(splice < burst for splice in odd.splices)) for burst in odd.bursts]
    assert all(abs(a - b) <= near for a, b, near in zip(found, odd.bursts, allowed, strict=True))
    lost = [gap for gap in files.gaps(files.decode(odd.path)) if gap[0] > 0]
    assert not lost or odd.path.suffix == ".mp3"  # the first packet of an MP3 file needs the one before it


def test_splices_are_named(odd: Odd) -> None:
    found = identify(odd.path).splices
    if odd.path.suffix == ".mp3":
        assert found == ()  # MP3 has no clock; the packet at the join cannot be decoded, which is an event
        assert sum(block.errors for block in files.decode(odd.path)) > 0
        return
    assert found == pytest.approx(odd.splices, abs=0.06 * (len(odd.splices) + 1))


def test_a_span_is_what_was_scored(odd: Odd, scored: files.Float) -> None:
    end = len(scored) / RATE
    for start in np.arange(0.3, end - 4.2, 2.9).tolist():
        span = np.concatenate([piece for _, piece in audio_span(odd.path, start, start + 4.0)], axis=1)[0]
        assert len(span) == 4 * RATE
        expected = scored[round(start * RATE) :][: len(span)]
        assert abs(files.lag(span, expected)) <= NEAR * RATE
        if odd.splices and not any(start - 1 < splice < start + 4.2 for splice in odd.splices):
            assert files.lag(span, expected) == 0
        mono = mono_span(odd.path, start, start + 4.0, 16_000)
        assert len(bursts(mono, 16_000)) == len(bursts(span, RATE))


@pytest.mark.parametrize("odd", FILMS, indirect=True)
def test_pictures_are_those_of_their_second(odd: Odd) -> None:
    for time in np.arange(0.55, 0.9 * odd.bursts[-1], 3.1).tolist():
        (shown,) = frames(odd.path, FPS, start=time, end=time + 0.01)
        allowed = 2 + sum(splice < time for splice in odd.splices)  # parts follow the sound, which is longer
        assert abs((files.number(shown.image) - time * FPS + 128) % 256 - 128) <= allowed


def test_proxies_and_previews_hold_the_second_that_was_scored(odd: Odd, scored: files.Float, tmp_path: Path) -> None:
    expected = bursts(scored, RATE)
    segment = Segment(7.0, 21.0)
    sound, video = tmp_path / "a.m4a", tmp_path / "a.mp4" if odd.has_video else None
    write_proxies(odd.path, segment, sound, video)
    preview = tmp_path / "a.webm"
    preview.write_bytes(encode_preview(odd.path, segment))
    for path in filter(None, (sound, video, preview)):
        got = bursts(mono_span(path, 0.0, segment.duration, RATE), RATE, segment.start)
        assert len(inside(got, 7, 21)) == len(inside(expected, 7, 21)), path.name
        assert np.allclose(inside(got, 7, 21), inside(expected, 7, 21), atol=NEAR), path.name


@pytest.mark.parametrize("odd", FILMS, indirect=True)
def test_a_film_with_new_sound_is_as_long_as_all_parts(odd: Odd, tmp_path: Path) -> None:
    seconds = seconds_shown(odd.path)
    assert seconds == pytest.approx(odd.seconds, abs=0.5)
    out = tmp_path / "out.mkv"
    sound_onto(odd.path, [np.zeros((1, int(seconds * 16_000)), np.float32)], 16_000, out)
    shown = [files.number(frame.image) for frame in frames(out, FPS)]
    assert len(shown) == pytest.approx(seconds * FPS, abs=3)
    for index in range(5, len(shown), 20):
        allowed = 2 + sum(splice * FPS < index for splice in odd.splices)
        assert abs((shown[index] - index + 128) % 256 - 128) <= allowed


def test_healthy_fragments_with_reordered_frames_are_whole(tmp_path: Path) -> None:
    """What streaming software writes: the first packet of the sound, which is priming, lies apart from the rest."""
    source = tmp_path / "a.mp4"
    images = (files.numbered_frames(256)[k % 256] for k in range(250))
    write_media(
        source, frames=images, fps=25, video_options={"bf": "2"}, audio=[files.tone(48_000, 10)], sample_rate=48_000
    )
    path = files.remux(source, tmp_path / "fragments.mp4", movflags="frag_keyframe+empty_moov")
    found = files.gaps(files.decode(path))
    assert [gap for gap in found if gap[0] > 0] == []
    assert len(found) <= 1
