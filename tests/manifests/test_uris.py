"""Every file name there can be has one URI, and no URI leads out of its root."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from manifests.uris import OutsideRoot, decode, encode_path, quote, resolve, unquote

names = st.binary(min_size=1, max_size=40).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b".."))


@given(st.lists(names, min_size=1, max_size=3))
@example([b"100% odd:name.mp4"])
@example([b"new\nline \"and' quotes"])
@example([b"\xff\xfe", b"caf\xc3\xa9 \xc3.wav"])
@example([b"%41"])
def test_every_name_comes_back_from_a_valid_string(parts: list[bytes]) -> None:
    path = Path(os.fsdecode(b"/".join(parts)))
    uri = encode_path("media", path)
    uri.encode("utf-8")
    assert decode(uri) == ("media", path)
    assert unquote(quote(path)) == path


def test_only_percent_and_bytes_that_are_no_text_are_escaped() -> None:
    assert encode_path("a-1", 'dir/a b\n"é".mp4') == 'a-1:dir/a b\n"é".mp4'
    assert encode_path("a-1", os.fsdecode(b"50%\xff.mp4")) == "a-1:50%25%FF.mp4"
    assert encode_path("a-1", "./dir//x.mp4") == "a-1:dir/x.mp4"


@pytest.mark.parametrize("relative", ["/etc/passwd", "../x", "a/../../x", ".", ""])
def test_what_is_not_below_the_root_has_no_uri(relative: str) -> None:
    with pytest.raises(OutsideRoot):
        encode_path("media", relative)
    with pytest.raises(OutsideRoot):
        decode(f"media:{relative}")


@pytest.mark.parametrize("uri", ["no-colon", ":x", "Media:x", "a b:x", "media:50%", "media:%4", "media:%zz"])
def test_what_is_no_uri_is_refused_by_name(uri: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(uri.partition(":")[2] if "%" in uri else uri))):
        decode(uri)


def test_a_uri_with_an_address_is_not_a_path() -> None:
    with pytest.raises(OutsideRoot):
        decode("https://example.org/x.mp4")


def test_resolve_finds_real_files_with_odd_names(tmp_path: Path) -> None:
    for name in ("a b\n'\".mp4", os.fsdecode(b"50%\xff.mp4"), "sub/é.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        assert resolve(encode_path("m", name), {"m": tmp_path}).read_bytes() == b"x"
    assert resolve("m:not/yet there", {"m": tmp_path}) == tmp_path / "not/yet there"


def test_symlinks_must_stay_under_the_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "root-2"
    for folder in (root, outside):
        folder.mkdir()
        (folder / "x.mp4").touch()
    (root / "inside").symlink_to("x.mp4")
    (root / "file").symlink_to(outside / "x.mp4")
    (root / "folder").symlink_to("../root-2")
    (root / "escaped").symlink_to(outside / "%2e%2e")
    (root / "loop").symlink_to("loop")
    alias = tmp_path / "alias"
    alias.symlink_to(root)
    assert resolve("m:inside", {"m": alias}) == root / "x.mp4"
    # root-2 begins like root: a comparison of strings would let it through.
    for uri in ("m:file", "m:folder/x.mp4", "m:escaped", "m:%2e%2e/root-2/x.mp4"):
        with pytest.raises(OutsideRoot):
            resolve(uri, {"m": root})
    with pytest.raises(OSError, match="symbolic links"):
        resolve("m:loop", {"m": root}).read_bytes()


def test_an_unknown_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'n:x': no root 'n' among m"):
        resolve("n:x", {"m": tmp_path})
