"""Pictures that show their number must come out at the times asked for."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import tests.support.media_files as files
from curation.media import MediaError, VideoFrame, frames, frames_reaching, probe, write_media


def numbers(shown: Sequence[VideoFrame]) -> list[int]:
    return [files.number(frame.image) for frame in shown]


def times(shown: Sequence[VideoFrame]) -> list[float]:
    return [frame.time for frame in shown]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frames")


def steady(folder: Path, suffix: str, fps: float = 10, count: int = 100) -> Path:
    """`count` pictures; a key picture only every 30."""
    path = folder / f"steady_{fps}_{count}{suffix}"
    if not path.exists():
        write_media(
            path,
            frames=files.numbered_frames(count),
            fps=fps,
            video_codec=files.VIDEO_CODECS.get(suffix, "libx264"),
            video_options={"g": "30"} if suffix in (".webm", ".avi") else {"g": "30", "bf": "3"},
        )
    return path


def uneven(path: Path, pts: Sequence[float], start: float = 0.0) -> Path:
    """Picture k is on screen from pts[k] seconds on."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30, options={"bf": "2", "g": "8"})
        stream.width, stream.height = 64, 32
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for image, time in zip(files.numbered_frames(len(pts)), pts, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round((start + time) * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".ts", ".mov"])
def test_at_its_own_rate_every_picture_comes_once(folder: Path, suffix: str) -> None:
    shown = list(frames(steady(folder, suffix), 10))
    assert numbers(shown) == list(range(100))
    assert times(shown) == [k / 10 for k in range(100)]
    assert {(frame.image.shape, frame.image.dtype) for frame in shown} == {((32, 64, 3), np.dtype(np.uint8))}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("fps", [23.976, 29.97, 30, 50])
def test_rounded_timestamps_do_not_show_the_picture_before(folder: Path, suffix: str, fps: float) -> None:
    path = steady(folder, suffix, fps)
    exact = float(Fraction(fps).limit_denominator(1001))
    assert numbers(list(frames(path, exact))) == list(range(100))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".ts"])
def test_other_rates_show_what_is_on_screen(folder: Path, suffix: str) -> None:
    path = steady(folder, suffix)
    assert numbers(list(frames(path, 2))) == list(range(0, 100, 5))
    assert numbers(list(frames(path, 25, end=2.0))) == [int(k / 2.5 + 1e-9) for k in range(50)]
    assert numbers(list(frames(path, 3, end=3.0))) == [0, 3, 6, 10, 13, 16, 20, 23, 26]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".ts", ".avi"])
@pytest.mark.parametrize("start", [0.05, 2.9, 3.0, 3.05, 9.95])
def test_a_start_in_the_middle(folder: Path, suffix: str, start: float) -> None:
    shown = list(frames(steady(folder, suffix), 10, start=start))
    first = int(start * 10 + 1e-9)
    assert numbers(shown) == list(range(first, 100))[: len(shown)]
    assert abs(len(shown) - (100 - start * 10)) <= 0.5
    assert times(shown) == [start + k / 10 for k in range(len(shown))]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_start_between_pictures_that_refer_to_what_comes_before_them(tmp_path: Path, suffix: str) -> None:
    """Not every picture that stands alone is one to start from: those after it may still refer to earlier ones."""
    path = tmp_path / f"a{suffix}"
    write_media(
        path,
        frames=files.numbered_frames(250),
        fps=12.5,
        video_options={"g": "38", "bf": "0"},
        audio=[files.tone(48000, 20)],
        sample_rate=48000,
    )
    track = probe(path).video
    assert track is not None
    late = track.start  # the sound, and so zero, may come before the picture
    for start in (0.417, 3.3, 6.61, 9.9, 14.85):
        shown = list(frames(path, 12.5, start=start, end=start + 1))
        assert numbers(shown) == [int((frame.time - late + 0.0005) * 12.5) for frame in shown]


def test_uneven_pictures_stay_until_the_next_one_comes(folder: Path) -> None:
    pts = [0.0, 0.1, 0.15, 1.0, 1.01, 1.02, 1.9, 3.3, 3.34, 5.0]
    for suffix in (".mp4", ".mkv"):
        path = uneven(folder / f"uneven{suffix}", pts)
        for fps, start in ((10, 0.0), (7, 0.0), (10, 0.95), (4, 3.32)):
            shown = list(frames(path, fps, start=start, end=5.5))
            asked = [start + k / fps for k in range(len(shown))]
            assert times(shown) == asked
            expected = [max(k for k, t in enumerate(pts) if t <= time + 1e-6) for time in asked]
            assert numbers(shown) == expected


def test_before_the_first_picture_the_first_is_shown_and_after_the_last_the_last(tmp_path: Path) -> None:
    source = uneven(tmp_path / "video.mp4", [0.0, 0.5, 1.0], start=2.0)
    sound = files.write(tmp_path / "sound.mp4", files.tone(48000, 6), 48000, "aac")
    path = tmp_path / "late.mp4"
    with av.open(str(source)) as one, av.open(str(sound)) as two, av.open(str(path), "w") as new:
        pairs: list[Any] = [(old, new.add_stream_from_template(old.streams[0])) for old in (one, two)]
        for old, stream in pairs:
            for packet in old.demux():
                if packet.size:
                    packet.stream = stream
                    new.mux(packet)
    assert numbers(list(frames(path, 2, end=5.0))) == [0, 0, 0, 0, 0, 1, 2, 2, 2, 2]
    assert numbers(list(frames(path, 2, start=1.0, end=3.0))) == [0, 0, 0, 1]
    assert numbers(list(frames(path, 2, start=5.0, end=6.0))) == [2, 2]
    assert list(frames(path, 2, start=5.0)) == []


def test_zero_is_that_of_the_sound(tmp_path: Path) -> None:
    """Sound that starts first moves the pictures."""
    source = files.write(tmp_path / "a.mp4", files.tone(48000, 6), 48000, "aac", 10)
    path = files.remux(source, tmp_path / "early.ts", files.shift(-1.0))
    shown = list(frames(path, 10, start=0.0, end=2.0))
    step = next(k for k, frame in enumerate(shown) if abs(frame.image.mean() - shown[0].image.mean()) > 0.5)
    assert step in (11, 12)  # picture 1, at 0.1 s, comes 1.0 s and the codec's delay later


@settings(deadline=None, max_examples=40)
@given(
    start=st.integers(0, 12_000).map(lambda ms: ms / 1000),
    length=st.integers(1, 3000).map(lambda ms: ms / 1000),
    fps=st.sampled_from([1, 3, 8, 10, 25, 29.97]),
)
def test_the_number_of_pictures_depends_on_the_times_alone(
    folder: Path, start: float, length: float, fps: float
) -> None:
    shown = list(frames(steady(folder, ".mp4"), fps, start=start, end=start + length))
    exact = Fraction(round(length * 1000), 1000) * Fraction(str(fps))
    assert len(shown) == -(-exact.numerator // exact.denominator)
    # this container rounds times to a tick of 1/10240 s: half of that before a frame's time, either frame is right
    times = [10 * (start + k / fps) for k in range(len(shown))]
    early, late = ([min(99, int(time + 10 * near)) for time in times] for near in (1e-7, 0.5 / 10_240 + 1e-6))
    assert all(number in either for number, *either in zip(numbers(shown), early, late, strict=True))


def quarters(turned: int = 0) -> NDArray[np.uint8]:
    """A picture 64 wide and 32 high whose four quarters differ."""
    image = np.zeros((32, 64, 3), np.uint8)
    image[:16, :32] = (200, 40, 40)
    image[:16, 32:] = (40, 200, 40)
    image[16:, :32] = (40, 40, 200)
    image[16:, 32:] = (200, 200, 200)
    return np.ascontiguousarray(np.rot90(image, turned))


def test_colours_and_sizes(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_media(path, frames=[quarters()] * 10, fps=10, video_options={"crf": "1"})
    for size in ((64, 32), (32, 16), (16, 32), (128, 64)):
        (shown,) = frames(path, 1, size=size, end=1.0)
        assert shown.image.shape == (size[1], size[0], 3)
        expected = quarters()[[8, 8, 24, 24], [16, 48, 16, 48]].astype(int)
        rows = [size[1] // 4, size[1] // 4, 3 * size[1] // 4, 3 * size[1] // 4]
        columns = [size[0] // 4, 3 * size[0] // 4, size[0] // 4, 3 * size[0] // 4]
        found = shown.image[rows, columns].astype(int)
        assert np.abs(found - expected).max() < 12, size


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [((0, 1, -1, 0), 3), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1), ((1, 0, 0, 1), 0)],
)
def test_a_picture_taken_sideways_comes_upright(tmp_path: Path, matrix: tuple[int, int, int, int], turned: int) -> None:
    """The track's matrix in an MP4 header, as phones write it: (0, 1, -1, 0) turns it right by 90 degrees."""
    path = tmp_path / "a.mp4"
    write_media(path, frames=[quarters()] * 10, fps=10, video_options={"crf": "1"})
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 5 * 4 + 4 * 2 + 2 * 4
    a, b, c, d = (value << 16 for value in matrix)
    assert struct.unpack(">9i", data[at : at + 36]) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    expected = quarters(turned)
    (shown,) = frames(path, 1, end=1.0)
    assert shown.image.shape == expected.shape
    assert np.abs(shown.image[8::16, 8::16].astype(int) - expected[8::16, 8::16]).max() < 12
    (small,) = frames(path, 1, size=(expected.shape[1] // 2, expected.shape[0] // 2), end=1.0)
    assert np.abs(small.image[4::8, 4::8].astype(int) - expected[8::16, 8::16]).max() < 12


def test_every_image_is_its_own(folder: Path) -> None:
    first, second = list(frames(steady(folder, ".mp4"), 20, start=0.1, end=0.2))
    first.image[:] = 0
    assert second.image.mean() > 10


def test_damage_costs_pictures_not_the_rest(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = files.damage(steady(folder, ".ts", count=110), folder / "damaged.ts", 0.5, 0.55)
    shown = list(frames(path, 10, end=11.0))
    assert len(shown) == 110
    assert numbers(shown)[:40] == list(range(40))
    assert numbers(shown)[-5:] == list(range(105, 110))
    assert capfd.readouterr() == ("", "")


def test_no_video_and_no_picture(tmp_path: Path) -> None:
    sound = files.write(tmp_path / "a.wav", files.tone(8000, 1), 8000, "pcm_s16le")
    with pytest.raises(MediaError, match="no_video_stream: audio only"):
        next(frames(sound, 1))
    source = files.write(tmp_path / "a.mp4", None, fps=10)
    broken = tmp_path / "broken.mkv"
    with av.open(str(source)) as old, av.open(str(broken), "w") as new:
        stream: Any = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux():
            if packet.size:
                bad: Any = av.Packet(b"\xff" * 50)
                bad.pts, bad.dts, bad.time_base, bad.stream = packet.pts, packet.dts, packet.time_base, stream
                new.mux(bad)
    for start in (0.0, 3.0):
        with pytest.raises(MediaError, match=r"decode_failed: no frame; \d+ errors, the first: Invalid data"):
            next(frames(broken, 1, start=start))


@pytest.mark.parametrize(
    ("fps", "start", "end"), [(0, 0, 1), (-1, 0, 1), (float("nan"), 0, 1), (1, -0.1, 1), (1, 0, float("inf"))]
)
def test_impossible_questions(folder: Path, fps: float, start: float, end: float) -> None:
    with pytest.raises(ValueError, match="="):
        next(frames(steady(folder, ".mp4"), fps, start=start, end=end))


# ---- the first picture that is not before a time ----


def reached(path: Path, asked: Sequence[float]) -> list[int]:
    """The number of the picture that each time got."""
    shown = [-1] * len(asked)
    for indices, image in frames_reaching(path, asked):
        for index in indices:
            assert shown[index] == -1
            shown[index] = files.number(image)
    return shown


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".ts"])
@pytest.mark.parametrize("fps", [10.0, 23.976, 25.0, 30.0])
def test_each_time_gets_the_first_picture_that_is_not_before_it(folder: Path, suffix: str, fps: float) -> None:
    path = steady(folder, suffix, fps)
    exact = float(Fraction(fps).limit_denominator(1001))
    for start in (0.0, 1.28, 2.417):
        asked = [start + k / 25 for k in range(60)]
        # Matroska rounds to milliseconds: a picture up to one too early may count
        for time, shown in zip(asked, reached(path, asked), strict=True):
            rounded = 0.001 if suffix in (".mkv", ".webm") else 1e-5
            assert shown in {min(99, int(np.ceil((time - early) * exact - 1e-6))) for early in (0.0, rounded)}


def test_at_its_own_rate_each_picture_comes_once_whatever_the_container_rounds(folder: Path) -> None:
    for suffix in (".mp4", ".mkv", ".ts"):
        for fps in (24.0, 25.0, 30.0):
            path = steady(folder, suffix, fps)
            assert reached(path, [k / fps for k in range(100)]) == list(range(100)), (suffix, fps)


def test_after_the_last_picture_that_one_stands(folder: Path) -> None:
    path = steady(folder, ".mp4")
    assert reached(path, [9.8, 9.9, 9.95, 12.0]) == [98, 99, 99, 99]
    assert reached(path, [20.0, 21.0]) == [99, 99]
    assert reached(path, []) == []


def test_uneven_pictures_are_reached_as_they_come(folder: Path) -> None:
    pts = [0.0, 0.1, 0.15, 1.0, 1.01, 1.02, 1.9, 3.3, 3.34, 5.0]
    path = uneven(folder / "uneven_reached.mp4", pts)
    asked = [k / 8 for k in range(40)]
    assert reached(path, asked) == [min(k for k, time in enumerate(pts) if time >= due - 1e-6) for due in asked]


@pytest.mark.parametrize("asked", [[1.0, 0.5], [-0.1]])
def test_times_out_of_order_are_refused(folder: Path, asked: list[float]) -> None:
    with pytest.raises(ValueError, match="at least 0 and in order"):
        list(frames_reaching(steady(folder, ".mp4"), asked))
