"""What the tests of several folders share: a real browser, and recordings of surf."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by PyTorch when it is first imported, here and in child processes:
# sums over several threads are other sums, and threads wait for each other as soon as anything else wants the cores

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from curation.media import write_media
from tests.support.browser import Page

Sound = Callable[..., Path]
# no law may fail because a machine is busy
settings.register_profile("lpse", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lpse")
pytest_plugins = ["tests.support.review_corpus"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with slow tests first: with `--dist loadfile`, a worker that gets one last works alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def _browser(profile: Path) -> Iterator[Page]:
    names = [os.environ.get("CHROMIUM") or "chromium", "chromium-browser", "google-chrome"]
    program = next(filter(None, map(shutil.which, names)), None)
    assert program, "this test drives Chromium: install it, or name the program with CHROMIUM=..."
    page = Page(program, profile)
    try:
        yield page
    finally:
        page.close()


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A tab of a browser that has never run before, one for all tests: `open` forgets what was there."""
    yield from _browser(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="session")
def server_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser of its own for pages of a server, which leave icons and storage behind."""
    yield from _browser(tmp_path_factory.mktemp("server-profile"))


def surf(seconds: float, seed: int, rate: int = 16_000) -> Iterator[NDArray[np.float32]]:
    """Noise that swells and ebbs, a second at a time: sound with nothing in it to find."""
    rng = np.random.default_rng(seed)
    for second in range(int(np.ceil(seconds))):
        count = min(rate, round((seconds - second) * rate))
        t = second + np.arange(count) / rate
        swell = 0.05 + 0.04 * np.sin(2 * np.pi * t / 7)
        yield (swell * rng.standard_normal(count)).astype(np.float32)[None]


@pytest.fixture(scope="session")
def surf_of() -> Callable[..., Iterator[NDArray[np.float32]]]:
    """The sound of `record`: `surf_of(seconds, seed)`."""
    return surf


@pytest.fixture(scope="session")
def record() -> Sound:
    """Writes a recording of surf: `record(path, seconds, seed=1, video=True)`."""

    def write(path: Path, seconds: float, seed: int = 1, video: bool = True) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = (np.full((32, 48, 3), (40 * i) % 256, np.uint8) for i in range(int(seconds * 2)))
        codec = "pcm_s16le" if path.suffix == ".wav" else "aac"
        write_media(
            path,
            frames=picture if video else None,
            fps=2 if video else None,
            audio=surf(seconds, seed),
            sample_rate=16_000,
            audio_codec=codec,
        )
        return path

    return write
