"""The index: what is written is found, however it was written, and what is common costs no more than what is rare."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.duplicates import Fingerprint, merge_indexes, new_fingerprint, open_index, to_merge, write_index
from curation.duplicates.fingerprint import WEAK, signs, weak_signs
from curation.duplicates.index import (
    CHECK_WORDS,
    PER_ITEM,
    SAMPLING,
    Index,
    key_of,
    postings_of,
    sampled,
)
from curation.duplicates.search import MOST_CANDIDATES, MOST_POSTINGS, _hits, candidates, variants


def random_print(number: int, count: int = 400, different: int | None = None) -> Fingerprint:
    """Words by chance, or of the `different` first that all such prints share, each with its lowest signs weak."""
    rng = np.random.default_rng(number)
    low = rng.integers(0, 1 << 32, count, np.uint64)
    if different is not None:
        low = np.random.default_rng(0).integers(0, 1 << 32, different, np.uint64)[rng.integers(0, different, count)]
    return new_fingerprint(f"item {number}", f"recording {number}", "audio", 0.0, low | np.uint64(0b111111 << 32))


def written(folder: Path, prints: list[Fingerprint]) -> Index:
    folder.mkdir()
    write_index(folder, prints)
    return open_index(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_prints_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    prints = [random_print(number, different=50) for number in range(20)]
    written(tmp_path / "a", prints)
    written(tmp_path / "b", prints[::-1])
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("chunk", [1 << 22, 100])
@pytest.mark.parametrize("cuts", [[20], [1, 7], [0, 10, 10]])
def test_merged_parts_are_the_index_of_everything(
    cuts: list[int], chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.duplicates.merge._CHUNK", chunk)
    prints = [random_print(number, different=50) for number in range(20)]
    written(tmp_path / "whole", prints)
    folders = []
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, 20], strict=True)):
        folders.append(tmp_path / f"part{number}")
        written(folders[-1], prints[first:last])
    (tmp_path / "merged").mkdir()
    merge_indexes(folders, tmp_path / "merged")
    assert contents(tmp_path / "merged") == contents(tmp_path / "whole")


def test_nothing_at_all_can_be_written_and_searched(tmp_path: Path) -> None:
    index = written(tmp_path / "empty", [])
    assert len(index) == 0
    assert candidates(random_print(1), [index]) == []
    (tmp_path / "merged").mkdir()
    merge_indexes([], tmp_path / "merged")
    assert contents(tmp_path / "merged") == contents(tmp_path / "empty")


def test_columns_are_memory_maps(tmp_path: Path) -> None:
    index = written(tmp_path / "a", [random_print(1)])
    for column in (index.postings.keys, index.postings.checks, index.hashes, index.starts):
        assert isinstance(column, np.memmap)
        assert not column.flags.writeable


def test_a_folder_with_anything_in_it_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "a", [random_print(1)])
    with pytest.raises(ValueError, match="a: must be empty"):
        write_index(tmp_path / "a", [random_print(2)])


def test_an_item_twice_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match="two fingerprints of item item 1"):
        write_index(tmp_path / "a", [random_print(1), random_print(1)])
    written(tmp_path / "b", [random_print(1), random_print(2)])
    written(tmp_path / "c", [random_print(2)])
    (tmp_path / "d").mkdir()
    with pytest.raises(ValueError, match=r"item item 2 is in .*b and in .*c"):
        merge_indexes([tmp_path / "b", tmp_path / "c"], tmp_path / "d")


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"index\.json: not an index"):
        open_index(tmp_path)
    written(tmp_path / "a", [random_print(1)])
    (tmp_path / "a" / "checks.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"checks\.npy: cannot be read"):
        open_index(tmp_path / "a")
    written(tmp_path / "b", [random_print(1)])
    (tmp_path / "b" / "index.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="format is 99, must be 1"):
        open_index(tmp_path / "b")
    written(tmp_path / "c", [random_print(1)])
    text = (tmp_path / "c" / "index.json").read_text()
    (tmp_path / "c" / "index.json").write_text(text.replace('"items": 1', '"items": 2'))
    with pytest.raises(ValueError, match=r"postings of 1 items, index\.json lists .* of 2"):
        open_index(tmp_path / "c")


def test_items_come_back_with_their_names(tmp_path: Path) -> None:
    prints = [random_print(number) for number in range(5)]
    odd = new_fingerprint("ünï\n\"'", "r", "picture", 0.0, random_print(9).words)
    index = written(tmp_path / "a", [*prints, odd])
    named = [index.item(number) for number in range(6)]
    assert {(i.item, i.recording_id, i.kind) for i in named} == {
        (one.item, one.recording_id, one.kind) for one in [*prints, odd]
    }
    with pytest.raises(IndexError, match="item 6 of 6"):
        index.item(6)


@settings(max_examples=40, deadline=None)
@given(
    keys=st.lists(st.integers(0, 60).map(lambda k: k * 71_582_788), max_size=300),
    asked=st.lists(st.integers(0, 60).map(lambda k: k * 71_582_788), max_size=80, unique=True),
    most=st.integers(1, 8),
)
def test_a_lookup_finds_the_first_postings_of_every_key(
    keys: list[int], asked: list[int], most: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from curation.duplicates.index import IndexedSegment, Postings, save

    held = np.sort(np.array(keys, np.uint32))
    zeros = np.zeros(len(held), np.uint32)
    folder = tmp_path_factory.mktemp("index")
    save(folder, [IndexedSegment("r", "i", "audio")], len(held), iter([Postings(held, zeros, zeros, zeros)]))
    which, at = open_index(folder).lookup(np.array(sorted(asked), np.uint32), most)
    found = [(sorted(asked)[w], int(p)) for w, p in zip(which, at, strict=True)]
    expected = [(key, int(p)) for key in sorted(asked) for p in np.flatnonzero(held == key)[:most]]
    assert sorted(found) == expected


# which words are held


@given(st.lists(st.integers(0, 2**32 - 1), unique=True, min_size=1, max_size=200))
def test_keys_are_one_to_one_and_differ_by_kind(patterns: list[int]) -> None:
    words = np.array(patterns, np.uint32)
    assert len(np.unique(key_of(words, "audio"))) == len(words)
    assert not np.any(key_of(words, "audio") == key_of(words, "picture"))


def test_a_quarter_of_all_words_is_held_evenly_over_keys() -> None:
    keys = key_of(np.arange(200_000, dtype=np.uint32), "audio")
    assert sampled(keys).mean() == pytest.approx(1 / SAMPLING, rel=0.02)
    shares = np.histogram(keys, 16, (0, 2**32))[0] / len(keys)
    assert shares.max() < 1.1 / 16 and shares.min() > 0.9 / 16


def test_postings_say_where_and_what_comes_later() -> None:
    one = random_print(1)
    postings = postings_of(one)
    kept = np.flatnonzero(sampled(key_of(signs(one.words), "audio")))
    assert postings.positions.tolist() == kept.tolist()
    later = [int(signs(one.words)[p + CHECK_WORDS]) if p + CHECK_WORDS < 400 else 0 for p in kept.tolist()]
    assert postings.checks.tolist() == later


def test_words_without_information_are_not_held() -> None:
    words = random_print(1).words
    words[100:] = 0
    assert postings_of(new_fingerprint("a", "a", "audio", 0.0, words)).positions.max() < 100


def test_a_word_that_comes_again_and_again_is_held_a_few_times_spread_over_the_item() -> None:
    one = random_print(2, 4000, different=20)
    postings = postings_of(one)
    counts = Counter(postings.keys.tolist())
    assert set(counts.values()) == {PER_ITEM}
    for key in counts:
        places = postings.positions[postings.keys == key]
        assert places.max() - places.min() > 2000


def test_all_choices_of_the_weak_signs_are_tried() -> None:
    word = random_print(3, 1).words
    patterns, places = variants(word)
    assert len(set(patterns.tolist())) == len(patterns) == 2**WEAK
    assert not places.any()
    strong = ~weak_signs(word)[0]
    assert set((patterns & strong).tolist()) == {int(signs(word)[0] & strong)}


# cost


def looked_at(one: Fingerprint, index: Index, monkeypatch: pytest.MonkeyPatch) -> int:
    """Postings that a search reads."""
    read = []
    plain = Index.lookup

    def counted(self: Index, keys: NDArray[np.uint32], most: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        found = plain(self, keys, most)
        read.append(len(found[0]))
        return found

    monkeypatch.setattr(Index, "lookup", counted)
    candidates(one, [index])
    return sum(read)


def test_a_hum_that_everyone_shares_costs_no_more_among_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def humming(number: int) -> Fingerprint:
        words = random_print(number, 300).words
        words[::2] = random_print(0, 300, different=8).words[::2]
        return new_fingerprint(f"item {number}", f"recording {number}", "audio", 0.0, words)

    few = written(tmp_path / "few", [humming(n) for n in range(1, 100)])
    many = written(tmp_path / "many", [humming(n) for n in range(1, 2000)])
    one = humming(5000)
    keys = len(np.unique(key_of(variants(one.words)[0], "audio")))
    assert len(many) > 10 * len(few)
    assert looked_at(one, many, monkeypatch) <= 8 * MOST_POSTINGS * 4 + keys * 0.01
    assert looked_at(one, many, monkeypatch) < 1.5 * looked_at(one, few, monkeypatch)
    assert len({item for item, _ in candidates(one, [many])}) <= MOST_CANDIDATES


def test_a_recording_that_has_hundreds_of_copies_still_finds_some(tmp_path: Path) -> None:
    words = random_print(1).words
    index = written(tmp_path / "a", [new_fingerprint(f"{n}", f"{n}", "audio", 0.0, words) for n in range(300)])
    found = candidates(new_fingerprint("new", "new", "audio", 0.0, words), [index])
    assert 10 <= len(found) <= MOST_CANDIDATES
    assert all(abs(diagonal) <= 2 for _, diagonal in found)


def test_of_very_many_copies_the_same_are_taken_however_they_are_spread_over_parts(tmp_path: Path) -> None:
    words = random_print(1).words
    copies = [new_fingerprint(f"{n}", f"{n}", "audio", 0.0, words) for n in range(300)]
    whole = written(tmp_path / "whole", copies)
    parts = [written(tmp_path / f"part{n}", copies[n::3]) for n in range(3)]
    new = new_fingerprint("new", "new", "audio", 0.0, words)
    assert sorted(candidates(new, parts)) == sorted(candidates(new, [whole]))


def test_no_more_others_are_aligned_than_the_likeliest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = random_print(1).words
    others = [new_fingerprint(f"{n}", f"{n}", "audio", 0.0, words[2 * n : 2 * n + 60 + n]) for n in range(100)]
    index = written(tmp_path / "a", others)
    new = new_fingerprint("new", "new", "audio", 0.0, words)
    assert len(candidates(new, [index])) > 64 - 5
    monkeypatch.setattr("curation.duplicates.search.MOST_CANDIDATES", 10)
    found = candidates(new, [index])
    assert len(found) == 10
    assert min(int(item.item) for item, _ in found) > 40  # the longest


def test_a_word_said_all_day_is_asked_for_a_few_times(tmp_path: Path) -> None:
    words = random_print(1, 4000, different=4).words
    index = written(tmp_path / "a", [new_fingerprint(f"{n}", f"{n}", "audio", 0.0, words) for n in range(30)])
    hits = _hits(new_fingerprint("new", "new", "audio", 0.0, words), 0, [index])
    assert 0 < hits.shape[1] <= 4 * PER_ITEM * MOST_POSTINGS


# evidence


def planted(tmp_path: Path, plan: list[tuple[int, int, int]]) -> list[tuple[str, int]]:
    """What is found where hits are planted at (place, diagonal, signs of the check word that differ)."""
    rng = np.random.default_rng(5)
    weak = np.uint64(0b111111 << 32)
    pool = rng.integers(0, 1 << 32, 4000, np.uint64)
    pool = pool[sampled(key_of(pool.astype(np.uint32), "audio"))]
    one, other = (rng.integers(0, 1 << 32, 300, np.uint64) for _ in range(2))
    for (place, diagonal, wrong), word in zip(plan, pool, strict=False):
        one[place] = other[place + diagonal] = word
        # the six lowest signs are uncertain and do not count
        flipped = np.uint64(((1 << wrong) - 1) << 6)
        other[place + diagonal + CHECK_WORDS] = one[place + CHECK_WORDS] ^ flipped
    index = written(tmp_path / "index", [new_fingerprint("other", "other", "audio", 0.0, other | weak)])
    found = candidates(new_fingerprint("one", "one", "audio", 0.0, one | weak), [index])
    return [(item.item, diagonal) for item, diagonal in found]


@pytest.mark.parametrize(
    ("plan", "near"),
    [
        ([(10, 40, 1)], 40),
        ([(10, 40, 2)], None),
        ([(10, 40, 7), (100, 40, 7)], 40),
        ([(10, 40, 7), (100, 50, 7)], None),
        ([(10, 39, 7), (100, 40, 7)], 40),
        ([(10, 41, 7), (100, 42, 7)], 41),
        ([(10, 40, 11), (50, 40, 11), (90, 40, 11), (130, 40, 11), (170, 40, 11)], None),
    ],
    ids=["one good", "one fair", "two", "two apart", "neighbours", "neighbours beyond a cell", "many by chance"],
)
def test_evidence_adds_up_along_a_diagonal(plan: list[tuple[int, int, int]], near: int | None, tmp_path: Path) -> None:
    found = planted(tmp_path, plan)
    assert [item for item, _ in found] == ([] if near is None else ["other"])
    assert all(abs(diagonal - (near or 0)) <= 3 for _, diagonal in found)


def test_a_place_counts_once_for_a_diagonal(tmp_path: Path) -> None:
    """Two words beside each other that differ in an uncertain sign are both hit from one place."""
    rng = np.random.default_rng(6)
    weak = np.uint64(0b111111 << 32)
    pool = rng.integers(0, 1 << 32, 400, np.uint64)
    held = sampled(key_of(pool.astype(np.uint32), "audio")) & sampled(key_of((pool ^ 1).astype(np.uint32), "audio"))
    word = pool[held][0]
    one, other = (rng.integers(0, 1 << 32, 300, np.uint64) for _ in range(2))
    one[50], other[80], other[81] = word, word, word ^ np.uint64(1)
    other[80 + CHECK_WORDS] = other[81 + CHECK_WORDS] = one[50 + CHECK_WORDS] ^ np.uint64(0b1111 << 6)
    index = written(tmp_path / "index", [new_fingerprint("other", "other", "audio", 0.0, other | weak)])
    new = new_fingerprint("one", "one", "audio", 0.0, one | weak)
    assert (_hits(new, 0, [index])[2:4] == [[50, 50], [30, 31]]).all()
    assert candidates(new, [index]) == []


@settings(max_examples=200)
@given(st.lists(st.integers(0, 10**6), max_size=60))
def test_merging_leaves_few_parts_each_twice_all_smaller_ones(sizes: list[int]) -> None:
    chosen = to_merge(sizes)
    assert chosen == sorted(set(chosen))
    assert len(chosen) != 1
    left = sorted(
        [max(1, s) for i, s in enumerate(sizes) if i not in chosen] + [sum(sizes[i] for i in chosen)] * bool(chosen)
    )
    for rank in range(1, len(left)):
        assert left[rank] >= 2 * sum(left[:rank]) or (left[rank] == 0)
    assert len(left) <= math.log(sum(left) + 1, 3) + 2
    assert (
        to_merge([s for i, s in enumerate(sizes) if i not in chosen] + [sum(sizes[i] for i in chosen)] * bool(chosen))
        == []
    )


def test_a_long_run_of_small_parts_copies_each_posting_a_few_times() -> None:
    sizes: list[int] = []
    copied = 0
    for _ in range(1000):
        sizes.append(100)
        chosen = to_merge(sizes)
        if chosen:
            copied += sum(sizes[i] for i in chosen)
            sizes = [s for i, s in enumerate(sizes) if i not in chosen] + [sum(sizes[i] for i in chosen)]
    assert sum(sizes) == 100_000
    assert copied <= 100_000 * math.log(1000, 1.5)
