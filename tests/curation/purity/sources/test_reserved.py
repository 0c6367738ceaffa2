"""Reserved sources are refused by name and by hash."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from curation.purity.sources.reserved import ReservedError, check_name, reserved_hashes, write_reserved


@pytest.mark.parametrize(
    "name",
    [
        "blanket",
        "asterisk-core-sounds-es-g722",
        "wesnoth-1.16-data",
        "remvze/moodist",
        "karolpiczak/ESC-50",
        "librosa/data",
    ],
)
def test_reserved_names(name: str) -> None:
    with pytest.raises(ReservedError, match=f"^{name}: reserved"):
        check_name(name)


@pytest.mark.parametrize(
    "name", ["asterisk-core-sounds-en-g722", "wesnoth-editor", "bucklespring", "", "freedink-data"]
)
def test_other_names(name: str) -> None:
    check_name(name)


def test_a_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    hashes = {f"{i:064x}" for i in (5, 1, 2**255)}
    write_reserved([*hashes, *hashes], tmp_path / "a.gz")
    write_reserved(hashes, tmp_path / "b.gz")
    assert reserved_hashes(tmp_path / "a.gz") == hashes
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert len(gzip.decompress((tmp_path / "a.gz").read_bytes())) == 3 * 32


def test_damaged_lists(tmp_path: Path) -> None:
    for content in (b"no gzip", gzip.compress(b"33 bytes are no list of hashes..."), b""):
        (tmp_path / "a.gz").write_bytes(content)
        if content == b"":
            assert reserved_hashes(tmp_path / "a.gz") == frozenset()
            continue
        with pytest.raises(ReservedError, match="list"):
            reserved_hashes(tmp_path / "a.gz")


def test_the_repositorys_list() -> None:
    assert len(reserved_hashes()) > 5000
