"""What a user brings to the detectors: where their weights are looked for, and what is said when they are nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from curation.backends.weights import WEIGHTS_FOLDER, ModelSetup, ModelUnavailable

RELEASED, SOURCE = "Cnn14.pth", "its release page"
HOW = (
    f"get it from {SOURCE} and name it as weights.panns in the recipe, "
    "or put it into the folder that LPSE_WEIGHTS names"
)


@pytest.fixture(autouse=True)
def no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEIGHTS_FOLDER, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine" / "weights.pth"
    path.parent.mkdir()
    path.write_bytes(b"mine")
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "weights"
    path.mkdir()
    monkeypatch.setenv(WEIGHTS_FOLDER, str(path))
    return path


def looked_up(setup: ModelSetup) -> Path:
    return setup.weights_file("panns", RELEASED, SOURCE)


def named(value: object) -> ModelSetup:
    return ModelSetup(weights=(("other", "/nowhere"), ("panns", str(value))))


def test_what_is_named_is_the_detectors_own() -> None:
    assert named("a/b").named("panns") == "a/b"
    assert ModelSetup().named("panns") is None
    assert ModelSetup(weights=(("other", "x"),)).named("panns") is None
    assert named("").named("panns") is None


def test_a_named_file_comes_before_the_folder(file: Path, folder: Path) -> None:
    (folder / RELEASED).write_bytes(b"released")
    assert looked_up(named(file)) == file
    assert looked_up(ModelSetup()) == folder / RELEASED
    assert looked_up(named("")) == folder / RELEASED


def test_a_named_file_needs_no_folder(file: Path) -> None:
    assert looked_up(named(file)) == file


def test_a_named_file_that_is_missing_is_not_replaced(file: Path, folder: Path) -> None:
    (folder / RELEASED).write_bytes(b"released")
    missing = file.with_name("gone.pth")
    with pytest.raises(ModelUnavailable) as raised:
        looked_up(named(missing))
    assert str(raised.value) == f"panns: no file {missing}: {HOW}"


def test_a_folder_is_no_file(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ModelUnavailable, match=f"^panns: no file {tmp_path}: "):
        looked_up(named(tmp_path))
    (folder / RELEASED).mkdir()
    with pytest.raises(ModelUnavailable, match=f"^panns: no file {folder / RELEASED}: "):
        looked_up(ModelSetup())


def test_a_folder_without_the_file_is_named(folder: Path) -> None:
    with pytest.raises(ModelUnavailable) as raised:
        looked_up(ModelSetup())
    assert str(raised.value) == f"panns: no file {folder / RELEASED}: {HOW}"


@pytest.mark.parametrize("empty", [False, True])
def test_without_a_name_and_a_folder_it_says_what_is_needed(
    empty: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if empty:
        monkeypatch.setenv(WEIGHTS_FOLDER, "")
    # a file of that name in the current folder is not meant
    (tmp_path / RELEASED).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelUnavailable) as raised:
        looked_up(ModelSetup())
    assert str(raised.value) == f"panns: needs {RELEASED}: {HOW}"
