"""Stillness and scene cuts of videos whose pictures are known, on the one clock of sound and picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import tests.support.media_files as files
from curation.detectors.picture.detector import FPS, SIZE, analyze_video, analyzed_time, spec
from curation.media import MediaError, write_media
from manifests.scores import FrameScores
from manifests.time import Segment, Timeline

Image = NDArray[np.uint8]
RATE = 12  # pictures a second
WIDTH, HEIGHT = 320, 180
CODECS = {
    "H.264": (".mp4", "libx264", {"crf": "30", "preset": "veryfast", "g": "24"}),
    "MPEG-4": (".avi", "mpeg4", {"b": "400k", "g": "12"}),
    "VP8": (".webm", "libvpx", {"b": "400k", "g": "40", "deadline": "realtime", "cpu-used": "8"}),
}


def texture(seed: int, width: int = WIDTH) -> NDArray[np.float64]:
    """Spots of all sizes in colour, (HEIGHT, width, 3), 0 to 255."""
    rng = np.random.default_rng(seed)
    image = np.zeros((HEIGHT, width, 3))
    for size in (2, 4, 8, 16, 32, 64):
        spots = rng.random((HEIGHT // size + 2, width // size + 2, 3))
        image += np.kron(spots, np.ones((size, size, 1)))[:HEIGHT, :width] * size**0.7
    return np.asarray(20 + 215 * (image - image.min()) / (image.max() - image.min()))


def frozen(seconds: float, seed: int = 1) -> Iterator[Image]:
    image = texture(seed).astype(np.uint8)
    yield from (image for _ in range(round(seconds * RATE)))


def grainy(seconds: float) -> Iterator[Image]:
    """A still picture that a noisy scanner or an old codec gave grain."""
    rng = np.random.default_rng(1)
    for image in frozen(seconds):
        yield np.clip(image + rng.normal(0, 1.0, image.shape), 0, 255).astype(np.uint8)


def pan(seconds: float, pixels: float = 0.4) -> Iterator[Image]:
    """A camera that turns slowly: `pixels` a picture."""
    count = round(seconds * RATE)
    wide = texture(2, WIDTH + int(pixels * count) + 2)
    for k in range(count):
        at, part = int(pixels * k), pixels * k % 1
        yield ((1 - part) * wide[:, at : at + WIDTH] + part * wide[:, at + 1 : at + 1 + WIDTH]).astype(np.uint8)


def rain(seconds: float) -> Iterator[Image]:
    """A camera on a tripod in the rain."""
    rng, scene = np.random.default_rng(3), texture(3)
    for _ in range(round(seconds * RATE)):
        image = scene.copy()
        rows, columns = rng.integers(0, HEIGHT - 8, 300), rng.integers(0, WIDTH, 300)
        for drop in range(8):
            image[rows + drop, columns] += 60
        yield np.clip(image, 0, 255).astype(np.uint8)


def fire(seconds: float) -> Iterator[Image]:
    """A fire in a corner of the dark."""
    rng, scene = np.random.default_rng(4), 0.3 * texture(4)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    glow = np.exp(-((rows - 130) ** 2 + (columns - 70) ** 2) / 300)[..., None] * np.array([1.0, 0.6, 0.2])
    for _ in range(round(seconds * RATE)):
        yield np.clip(scene + glow * rng.normal(90, 25), 0, 255).astype(np.uint8)


def sea(seconds: float) -> Iterator[Image]:
    scene = texture(5)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for k in range(round(seconds * RATE)):
        waves = 6 * np.sin(0.1 * columns + 0.4 * rows - 0.5 * k) * (rows > 100)
        yield np.clip(scene + waves[..., None], 0, 255).astype(np.uint8)


def bird(seconds: float) -> Iterator[Image]:
    scene = texture(6).astype(np.uint8)
    for k in range(round(seconds * RATE)):
        image = scene.copy()
        image[60:66, k * 4 % (WIDTH - 6) :][:, :6] = 10
        yield image


def video(path: Path, pictures: Iterator[Image], codec: str = "H.264") -> Path:
    suffix, name, options = CODECS[codec]
    target = path / f"video{suffix}"
    write_media(target, frames=pictures, fps=RATE, video_codec=name, video_options=options)
    return target


def looked(path: Path, seconds: float) -> FrameScores:
    return analyze_video(path, Timeline([Segment(0.0, seconds)]), seconds)


def cuts(scores: FrameScores) -> list[int]:
    return [second for second, count in enumerate(scores.track("cut")) for _ in range(int(count))]


@pytest.mark.parametrize(
    ("pictures", "codec"),
    [(frozen, "H.264"), (frozen, "MPEG-4"), (frozen, "VP8"), (grainy, "H.264"), (grainy, "MPEG-4")],
)
def test_a_frozen_picture_stands_still(
    tmp_path: Path, pictures: Callable[[float], Iterator[Image]], codec: str
) -> None:
    scores = looked(video(tmp_path, pictures(10), codec), 10)
    assert len(scores) == 10
    assert scores.track("still").mean() >= 0.95
    assert cuts(scores) == []


@pytest.mark.parametrize("codec", ["H.264", "MPEG-4"])
@pytest.mark.parametrize("pictures", [pan, rain, fire, sea, bird])
def test_a_camera_that_stands_still_is_no_still_picture(
    tmp_path: Path, codec: str, pictures: Callable[[float], Iterator[Image]]
) -> None:
    scores = looked(video(tmp_path, pictures(10), codec), 10)
    assert scores.track("still").mean() <= 0.1
    assert cuts(scores) == []


def test_a_very_slow_pan_moves(tmp_path: Path) -> None:
    scores = looked(video(tmp_path, pan(12, 0.03)), 12)
    assert scores.track("still").mean() <= 0.25


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("each", [1.5, 4.0])
def test_slides_stand_still_between_cuts(tmp_path: Path, codec: str, each: float) -> None:
    def slides() -> Iterator[Image]:
        for seed in range(5):
            yield from frozen(each, seed)

    scores = looked(video(tmp_path, slides(), codec), 5 * each)
    assert scores.track("still").mean() >= 0.95
    assert cuts(scores) == [int(each * k) for k in range(1, 5)]


def test_slides_that_fade_count_once_each(tmp_path: Path) -> None:
    def fading() -> Iterator[Image]:
        for seed in range(4):
            yield from frozen(3, seed)
            for part in np.linspace(0, 1, RATE):
                yield ((1 - part) * texture(seed) + part * texture(seed + 1)).astype(np.uint8)
        yield from frozen(3, 4)

    scores = looked(video(tmp_path, fading()), 19)
    assert scores.track("still").mean() >= 0.95
    assert cuts(scores) == [3, 7, 11, 15]


def test_something_that_passes_is_no_fade(tmp_path: Path) -> None:
    def passing() -> Iterator[Image]:
        yield from frozen(3, 6)
        yield from bird(1.5)
        yield from frozen(4, 6)

    scores = looked(video(tmp_path, passing()), 8.5)
    assert cuts(scores) == []
    np.testing.assert_allclose(scores.track("still")[[0, 1, 3, 6, 7]], [1, 1, 0, 1, 1], atol=0.26)


def test_cuts_are_found_when_they_are(tmp_path: Path) -> None:
    def scenes() -> Iterator[Image]:
        for seed, seconds in enumerate((2.5, 4.25, 1.5, 3.75)):
            for k, image in enumerate(pan(seconds)):
                yield np.roll((image * (0.4 + 0.15 * seed)).astype(np.uint8), 97 * seed, axis=k * 0)

    scores = looked(video(tmp_path, scenes()), 12)
    assert cuts(scores) == [2, 6, 8]
    assert scores.track("still").max() <= 0.15


def test_a_late_start_and_a_changing_rate_move_no_cut(tmp_path: Path) -> None:
    """The sound begins 2 s before the picture: what is cut 4 s into the video happens at 6 s."""

    def two() -> Iterator[Image]:
        yield from frozen(4, 1)
        yield from frozen(4, 2)

    path = tmp_path / "both.mp4"
    sound = files.tone(48_000, 10)
    write_media(path, frames=two(), fps=RATE, video_options={"bf": "0"}, audio=[sound], sample_rate=48_000)
    late = tmp_path / "late.mkv"
    import av

    with av.open(str(path)) as old, av.open(str(late), "w") as new:
        streams = {s.index: new.add_stream_from_template(s) for s in old.streams}
        number = 0
        for packet in old.demux():
            if packet.dts is None or packet.pts is None:
                continue
            if packet.stream.type == "video":
                number += 1
                if number % 3 == 2 and not packet.is_keyframe and number > 60:
                    continue  # now and then a picture is missing
                packet.pts += round(2 / packet.time_base)
                packet.dts += round(2 / packet.time_base)
            packet.stream = streams[packet.stream.index]
            new.mux(packet)
    scores = looked(late, 10)
    assert cuts(scores) == [6]


class Album:
    def __init__(self) -> None:
        self.times: list[float] = []
        self.images: list[Image] = []

    def push(self, time: float, image: Image) -> None:
        self.times.append(time)
        self.images.append(image)


def test_only_the_spans_are_looked_at(tmp_path: Path) -> None:
    path = video(tmp_path, pan(20))
    album = Album()
    progress: list[float] = []
    spans = Timeline([Segment(2.3, 4.9), Segment(11.0, 13.0), Segment(19.5, 25.0)])
    scores = analyze_video(path, spans, 19.8, watchers=(album,), progress=progress.append)
    assert len(scores) == 20
    expected = Timeline([Segment(2, 5), Segment(11, 13), Segment(19, 20)])
    assert analyzed_time(scores) == expected
    assert album.times == [k / FPS for s in expected for k in range(int(s.start * FPS), int(s.end * FPS))]
    assert {image.shape for image in album.images} == {(SIZE[1], SIZE[0], 3)}
    assert album.images[0].dtype == np.uint8 and not np.array_equal(album.images[0], album.images[5])
    assert progress == sorted(progress) and 5.5 < progress[-1] <= 6.0


def test_nothing_to_look_at_and_nothing_to_see(tmp_path: Path) -> None:
    path = video(tmp_path, frozen(3))
    scores = analyze_video(path, Timeline(), 3.0)
    assert len(scores) == 3 and np.isnan(scores.values).all() and not analyzed_time(scores)
    sound = files.write(tmp_path / "sound.wav", files.tone(8000, 3), 8000, "pcm_s16le")
    with pytest.raises(MediaError, match="no_video_stream"):
        analyze_video(sound, Timeline([Segment(0, 3)]), 3.0)


def test_a_video_that_ends_before_its_sound_is_frozen(tmp_path: Path) -> None:
    scores = looked(video(tmp_path, pan(6)), 12)
    assert scores.track("still")[:6].max() <= 0.3
    assert scores.track("still")[7:].min() == 1


def test_the_version_names_the_library() -> None:
    from importlib.metadata import version

    assert spec().version == f"1-scenedetect{version('scenedetect-headless')}"
    assert spec().labels == ("still", "cut")
