"""Reserved sources are refused by name and by hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from curation.purity.sources.reserved import Reserved, ReservedError, check_name, read_reserved, write_reserved


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
    hashes = [f"{i:064x}" for i in (5 << 200, 1 << 250, 2**255)]
    write_reserved(Reserved([*hashes, *hashes]), tmp_path / "a")
    write_reserved(Reserved(reversed(hashes)), tmp_path / "b")
    found = read_reserved(tmp_path / "a")
    assert [one in found for one in (*hashes, f"{3 << 250:064x}", "")] == [True, True, True, False, False]
    assert len(found) == 3
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_size == 3 * 8


def test_damaged_lists(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"nine more")
    with pytest.raises(ReservedError, match="9 bytes are not a list"):
        read_reserved(tmp_path / "a")
    with pytest.raises(ReservedError, match="cannot be read: No such file"):
        read_reserved(tmp_path / "b")


def test_the_repositorys_list() -> None:
    assert len(read_reserved()) > 10_000
