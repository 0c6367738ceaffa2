"""Archives: the audio inside is found and read, and damaged or endless ones are refused."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from curation.purity.sources import archives
from curation.purity.sources.archives import ArchiveError, clonk_group, qt_resource, reader, riff_files, zipped
from curation.purity.sources.members import members


def wave(body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def clonk(entries: dict[str, bytes | dict[str, bytes]]) -> bytes:
    """An unpacked Clonk group, as the game writes it."""
    parts = {name: clonk(dict(one)) if isinstance(one, dict) else one for name, one in entries.items()}
    header = bytearray(204)
    header[:24] = b"RedWolf Design GrpFolder"
    struct.pack_into("<I", header, 36, len(parts))
    for i in range(0, 202, 3):
        header[i], header[i + 2] = header[i + 2], header[i]
    content, offset = bytes(byte ^ 237 for byte in header), 0
    for name, part in parts.items():
        entry = bytearray(316)
        entry[: len(name)] = name.encode()
        struct.pack_into("<I I 4x I", entry, 264, isinstance(entries[name], dict), len(part), offset)
        content, offset = content + bytes(entry), offset + len(part)
    return content + b"".join(parts.values())


def clonk_file(path: Path, content: bytes) -> Path:
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    path.write_bytes(b"\x1e\x8c" + bytes(8) + squeeze.compress(content) + squeeze.flush())
    return path


def rcc(files: dict[str, bytes], flags: int = 0) -> bytes:
    """A Qt resource file of version 3 with the files in one folder, `sounds`."""
    names, at = b"", {}
    for name in ("sounds", *files):
        at[name] = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    data, begins = b"", {}
    for name, content in files.items():
        begins[name] = len(data)
        data += struct.pack(">I", len(content)) + content
    nodes = struct.pack(">IHIIQ", 0, 2, 1, 1, 0) + struct.pack(">IHIIQ", at["sounds"], 2, len(files), 2, 0)
    for name in files:
        nodes += struct.pack(">IHHHIQ", at[name], flags, 0, 0, begins[name], 0)
    tree = 24
    header = b"qres" + struct.pack(">5I", 3, tree, tree + len(nodes), tree + len(nodes) + len(data), 0)
    return header + nodes + data + names


def test_the_audio_of_a_folder_and_of_its_archives(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.WAV").write_bytes(b"x")
    (tmp_path / "a" / "x.txt").write_bytes(b"text")
    (tmp_path / "link.wav").symlink_to(tmp_path / "a" / "x.WAV")
    with zipfile.ZipFile(tmp_path / "b.pk3", "w") as archive:
        archive.writestr("sound/2.ogg", b"two")
        archive.writestr("sound/1.ogg", b"one")
        archive.writestr("sound/read.me", b"no")
    (tmp_path / "c.zip").write_bytes(b"no archive")
    (tmp_path / "d.cat").write_bytes(b"head" + wave(b"first") + b"RIFF...." + wave(b"second"))
    (tmp_path / "e.rcc").write_bytes(rcc({"cow.ogg": b"moo", "cow.png": b"picture"}))
    clonk_file(tmp_path / "f.ocg", clonk({"a.wav": b"A", "In.ocg": {"b.ogg": b"B", "c.png": b""}}))
    found = {member.path: member.read() for member in members(tmp_path)}
    assert found == {
        "a/x.WAV": b"x",
        "b.pk3!/sound/1.ogg": b"one",
        "b.pk3!/sound/2.ogg": b"two",
        "d.cat!/0000.wav": wave(b"first"),
        "d.cat!/0001.wav": wave(b"second"),
        "e.rcc!/sounds/cow.ogg": b"moo",
        "f.ocg!/a.wav": b"A",
        "f.ocg!/In.ocg/b.ogg": b"B",
    }
    assert list(found) == sorted(found, key=lambda path: (path.split("!")[0], list(found).index(path)))


def test_compressed_entries_of_qt_resources(tmp_path: Path) -> None:
    path = tmp_path / "e.rcc"
    path.write_bytes(rcc({"cow.ogg": struct.pack(">I", 3) + zlib.compress(b"moo")}, flags=1))
    [(_, read)] = qt_resource(path)
    assert read() == b"moo"
    path.write_bytes(rcc({"cow.ogg": b"moo"}, flags=4))
    [(_, read)] = qt_resource(path)
    with pytest.raises(ArchiveError, match="Zstandard"):
        read()


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    whole = rcc({"cow.ogg": b"moo"})
    path = tmp_path / "e.rcc"
    for content in (
        whole[:30],
        whole[:8] + b"\xff" * 4 + whole[12:],
        whole.replace(b"\0\0\0\1\0\0\0\1", b"\0\0\0\1\0\0\0\0"),
    ):
        path.write_bytes(content)
        with pytest.raises(ArchiveError, match="damaged Qt"):
            list(qt_resource(path))
    group = clonk({"a.wav": b"A"})
    for content in (group[:100], group[:210], bytes(204) + group[204:]):
        with pytest.raises(ArchiveError, match="damaged Clonk"):
            list(clonk_group(clonk_file(tmp_path / "f.ocg", content)))
    path.unlink()
    (tmp_path / "f.ocg").write_bytes(b"\x1e\x8c" + bytes(8) + b"\xff\xff")
    with pytest.raises(ArchiveError, match=r"^f.ocg: damaged Clonk"):
        list(members(tmp_path))


def test_groups_inside_groups_end(tmp_path: Path) -> None:
    content: dict[str, bytes | dict[str, bytes]] = {"a.wav": b"A"}
    for _ in range(20):
        content = {"In.ocg": content}  # type: ignore[dict-item]
    with pytest.raises(ArchiveError, match="damaged Clonk"):
        list(clonk_group(clonk_file(tmp_path / "f.ocg", clonk(content))))


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.ogg", bytes(1001))
        archive.writestr("2.ogg", bytes(1000))
    sizes: dict[str, int | str] = {}
    for name, read in zipped(tmp_path / "b.zip"):
        try:
            sizes[name] = len(read())
        except ArchiveError as error:
            sizes[name] = str(error)
    assert sizes == {"1.ogg": "more than 1000 bytes", "2.ogg": 1000}
    (tmp_path / "d.cat").write_bytes(bytes(1001))
    with pytest.raises(ArchiveError, match="1001 bytes, more than 1000"):
        list(riff_files(tmp_path / "d.cat"))
    with pytest.raises(ArchiveError, match="more than 1000"):
        list(clonk_group(clonk_file(tmp_path / "f.ocg", clonk({"a.wav": bytes(5000)}))))


def test_a_damaged_entry_of_a_zip_is_refused_alone(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.ogg", b"first content")
    path.write_bytes(path.read_bytes().replace(b"first content", b"other content"))
    for _, read in zipped(path):
        with pytest.raises(ArchiveError, match="CRC"):
            read()


def test_other_files_are_no_archives(tmp_path: Path) -> None:
    for name in ("a.ocg", "a.rcc", "a.zip", "a.txt"):
        (tmp_path / name).write_bytes(b"something else")
        assert reader(tmp_path / name) is None
