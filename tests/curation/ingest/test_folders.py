"""Finding the files: each once, in order, whatever its name, and nothing lost without a word."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.ingest.folders import Found, SourceNotFound, discover
from manifests.store import Corpus
from manifests.uris import decode, resolve
from tests.support import ROOT


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.create(tmp_path / "corpus")


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(path.name))


def uris(*sources: Path | str, corpus: Corpus) -> list[str]:
    return [found.uri for found in discover(sources, corpus)]


def problems(*sources: Path | str, corpus: Corpus) -> dict[str, tuple[str, str]]:
    return {found.uri: found.problem for found in discover(sources, corpus) if found.problem}


def test_every_file_is_found_in_order_with_its_signature(media: Path, corpus: Corpus) -> None:
    touch(media / "b.mp4", media / "a" / "z.wav", media / "a" / "deep" / "er" / "x.webm", media / "B.txt")
    (media / "empty").mkdir()
    found = list(discover([media], corpus))
    assert [f.uri for f in found] == ["media:B.txt", "media:a/deep/er/x.webm", "media:a/z.wav", "media:b.mp4"]
    status = (media / "b.mp4").stat()
    assert found[-1] == Found("media:b.mp4", media / "b.mp4", (5, status.st_mtime_ns), None)
    assert corpus.roots == {"media": media}


def test_hidden_names_are_passed_over_unless_they_are_named(media: Path, corpus: Corpus) -> None:
    touch(media / "a.wav", media / ".b.wav", media / ".c" / "d.wav", media / ".c" / ".e.wav")
    assert uris(media, corpus=corpus) == ["media:a.wav"]
    assert uris(media, media / ".c", corpus=corpus) == ["media:a.wav", "media:.c/d.wav"]
    assert uris(media / ".b.wav", corpus=corpus) == ["media:.b.wav"]


NAMES = [
    "two words.mp4", "line\nbreak.mp4", "'single' \"double\".mp4", "Größe 音.mp4", "100%.mp4", "%41.mp4",
    "-dash.mp4", "a:b.mp4", "back\\slash.mp4", "\x1b[31m.mp4", os.fsdecode(b"latin-\xe9.mp4"), "*?.mp4",
]  # fmt: skip


def test_every_name_comes_through_and_back(media: Path, corpus: Corpus) -> None:
    touch(*(media / name for name in NAMES), *(media / name / "in" for name in (f"dir {n}" for n in NAMES)))
    found = list(discover([media], corpus))
    assert len({f.uri for f in found}) == len(found) == 2 * len(NAMES)
    assert all(f.problem is None for f in found)
    for one in found:
        one.uri.encode("utf-8")
        assert resolve(one.uri, corpus.roots) == one.path
        assert one.path.read_bytes() == os.fsencode(one.path.name)


@pytest.mark.parametrize("name", [n for n in NAMES if "/" not in n])
def test_a_source_folder_may_have_any_name(name: str, media: Path, corpus: Corpus) -> None:
    touch(media / name / "a.wav")
    (found,) = discover([media / name], corpus)
    assert resolve(found.uri, corpus.roots) == media / name / "a.wav"


def test_a_file_met_twice_is_found_once(media: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(media / "a.wav", media / "sub" / "b.wav")
    (media.parent / "by-link").symlink_to(media)
    monkeypatch.chdir(media)
    named: list[Path | str] = [media / "sub", "sub/b.wav", media, f"{media}/", ".", media]
    given = [*named, "../by-link", "sub/../a.wav"]
    assert uris(*given, corpus=corpus) == ["media:a.wav", "media:sub/b.wav"]
    assert corpus.roots == {"media": media}


def test_an_uri_stays_the_same_when_a_folder_around_is_added_later(media: Path, corpus: Corpus) -> None:
    touch(media / "a.wav", media / "sub" / "b.wav")
    assert uris(media / "sub", corpus=corpus) == ["sub:b.wav"]
    assert uris(media, corpus=corpus) == ["media:a.wav", "sub:b.wav"]
    assert uris(media / "sub" / "b.wav", corpus=corpus) == ["sub:b.wav"]


def test_a_folder_inside_a_root_makes_no_root(media: Path, corpus: Corpus) -> None:
    touch(media / "a.wav", media / "sub" / "b.wav")
    uris(media, corpus=corpus)
    assert uris(media / "sub", corpus=corpus) == ["media:sub/b.wav"]
    assert corpus.roots == {"media": media}


def test_single_files_belong_to_their_folders(media: Path, tmp_path: Path, corpus: Corpus) -> None:
    touch(media / "a.wav", media / "not-named.wav", tmp_path / "other" / "a.wav")
    assert uris(tmp_path / "other" / "a.wav", media / "a.wav", corpus=corpus) == [
        "media:a.wav",
        "other:a.wav",
    ]


@pytest.mark.parametrize("missing", ["no such\nfile", "a.wav/below"])
def test_a_source_that_is_not_there_is_refused_before_anything_is_done(
    missing: str, media: Path, corpus: Corpus
) -> None:
    touch(media / "a.wav")
    with pytest.raises(SourceNotFound) as caught:
        discover([media, media / missing], corpus)
    assert str(caught.value) == f"{media / missing}: no such file or folder"
    assert corpus.roots == {}


def test_a_corpus_inside_a_source_is_passed_over(media: Path) -> None:
    touch(media / "a.wav", media / "corpus" / "proxies" / "a.mp4", media / "old" / "proxies" / "a.mp4")
    touch(media / "text" / "b.wav")
    (media / "text" / "corpus.toml").write_text("title = 'not one of ours'\n")
    touch(media / "broken" / "corpus.toml", media / "folder" / "corpus.toml" / "c.wav")
    (media / "pipe").mkdir()
    os.mkfifo(media / "pipe" / "corpus.toml")
    corpus = Corpus.create(media / "corpus")
    Corpus.create(media / "old")
    assert uris(media, corpus=corpus) == [
        "media:a.wav",
        "media:broken/corpus.toml",
        "media:folder/corpus.toml/c.wav",
        "media:pipe/corpus.toml",
        "media:text/b.wav",
        "media:text/corpus.toml",
    ]


def test_a_corpus_is_no_source_but_a_folder_in_it_may_be(corpus: Corpus) -> None:
    touch(corpus.path / "downloads" / "a.wav")
    with pytest.raises(SourceNotFound, match=r"/corpus: this is a corpus; media must be in a folder of its own$"):
        discover([corpus.path], corpus)
    assert uris(corpus.path / "downloads", corpus=corpus) == ["downloads:a.wav"]


def test_links_that_lead_out_are_found_with_a_hint(media: Path, tmp_path: Path, corpus: Corpus) -> None:
    touch(tmp_path / "out\nside" / "a.wav", media / "b.wav")
    (media / "file").symlink_to("../out\nside/a.wav")
    (media / "folder").symlink_to(tmp_path / "out\nside")
    (media / "up").symlink_to("..")
    outside = repr(str(tmp_path / "out\nside"))
    assert problems(media, corpus=corpus) == {
        uri: ("outside_root", f"a link to {target}, outside the sources: add that as a source")
        for uri, target in {
            "media:file": outside[:-1] + "/a.wav'",
            "media:folder": outside,
            "media:up": repr(str(tmp_path)),
        }.items()
    }
    # and the hint is good
    found = list(discover([media, tmp_path / "out\nside"], corpus))
    assert [f.uri for f in found if not f.problem] == ["media:b.wav", "out-side:a.wav"]
    assert [f.uri for f in found if f.problem] == ["media:up"]


def test_links_to_what_is_met_without_them_are_passed_over(media: Path, corpus: Corpus) -> None:
    touch(media / "real" / "b.wav")
    (media / "a.wav").symlink_to("real/b.wav")
    (media / "folder").symlink_to("real")
    (media / "real" / "round").symlink_to("..")
    (media / "real" / "self").symlink_to(".")
    assert uris(media, corpus=corpus) == ["media:real/b.wav"]


def test_visible_links_to_hidden_places_are_followed_once(media: Path, corpus: Corpus) -> None:
    # the way large files are kept by version control: all names are links into a hidden store
    touch(media / ".store" / "1", media / ".store" / "2", media / ".store" / "folder" / "3")
    (media / "one.wav").symlink_to(".store/1")
    (media / "one again.wav").symlink_to(".store/1")
    (media / "two.wav").symlink_to(".store/2")
    (media / "three").symlink_to(".store/folder")
    (media / ".store" / "folder" / "round").symlink_to(".")
    found = list(discover([media], corpus))
    assert [f.uri for f in found] == ["media:one again.wav", "media:three/3", "media:two.wav"]
    assert all(f.problem is None and resolve(f.uri, corpus.roots).is_file() for f in found)


def test_links_into_one_hidden_place_overlap_and_give_each_file_once(media: Path, corpus: Corpus) -> None:
    touch(media / ".store" / "inner" / "1")
    (media / "a").symlink_to(".store")
    (media / "b").symlink_to(".store/inner")
    (media / "c").symlink_to(".store/inner/1")
    assert uris(media, corpus=corpus) == ["media:a/inner/1"]


def test_links_to_nothing_have_vanished(media: Path, corpus: Corpus) -> None:
    touch(media / "file")
    (media / "dangling").symlink_to("gone.wav")
    (media / "through").symlink_to("file/below")
    (media / "out").symlink_to("/nowhere/at/all.wav")
    (media / "loop").symlink_to("loop")
    assert problems(media, media / "dangling", corpus=corpus) == {
        "media:dangling": ("vanished", f"a link to '{media}/gone.wav', which does not exist"),
        "media:loop": ("vanished", "a link to itself"),
        "media:out": ("vanished", "a link to '/nowhere/at/all.wav', which does not exist"),
        "media:through": ("vanished", f"a link to '{media}/file/below', which does not exist"),
    }


def test_a_link_named_as_a_source_is_what_it_leads_to(media: Path, tmp_path: Path, corpus: Corpus) -> None:
    touch(tmp_path / "other" / "b.wav")
    (media / "link.wav").symlink_to(tmp_path / "other" / "b.wav")
    assert uris(media / "link.wav", corpus=corpus) == ["other:b.wav"]
    (media / "gone.wav").symlink_to("nowhere")
    assert [reason for reason, _ in problems(media / "gone.wav", corpus=corpus).values()] == ["vanished"]


def test_what_goes_while_it_is_walked_has_vanished(media: Path, corpus: Corpus) -> None:
    touch(media / "a.wav", media / "b.wav", media / "c" / "d.wav", media / "e.wav")
    walk = discover([media], corpus)
    assert next(walk).uri == "media:a.wav"
    (media / "b.wav").unlink()
    (media / "c" / "d.wav").unlink()
    (media / "c").rmdir()
    assert [(f.uri, f.problem) for f in walk] == [
        ("media:b.wav", ("vanished", "deleted since it was listed")),
        ("media:c", ("vanished", "deleted since it was listed")),
        ("media:e.wav", None),
    ]


def test_a_source_that_goes_before_it_is_walked_has_vanished(media: Path, corpus: Corpus) -> None:
    walk = discover([media], corpus)
    media.rmdir()
    (found,) = walk
    assert (found.path, found.problem) == (media, ("vanished", "deleted since it was listed"))
    assert resolve(found.uri, corpus.roots) == media


def test_what_is_no_file_is_no_media(media: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(media / "pipe.mp4")
    (media / "null.mp4").symlink_to("/dev/null")
    monkeypatch.chdir(media)  # the address of a socket must be short
    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind("socket.mp4")
        found = problems(media, "/dev/null", corpus=corpus)
    assert found == {
        "dev:null": ("not_media", "a character device, not a regular file"),
        "media:pipe.mp4": ("not_media", "a pipe, not a regular file"),
        "media:socket.mp4": ("not_media", "a socket, not a regular file"),
    }


@pytest.fixture
def nested(media: Path) -> Iterator[Callable[[str, int], None]]:
    """Makes folders in folders, deeper than one can name; takes them away again, which pytest could not."""

    def make(name: str, depth: int) -> None:
        here = os.getcwd()
        os.chdir(media)
        try:
            for _ in range(depth):
                os.mkdir(name)
                os.chdir(name)
            Path("x").touch()
        finally:
            os.chdir(here)

    yield make
    subprocess.run(["rm", "-r", str(media)], check=True)


def test_folders_may_be_nested_deeper_than_python_calls(
    media: Path, corpus: Corpus, nested: Callable[[str, int], None]
) -> None:
    nested("d", 1200)
    assert uris(media, corpus=corpus) == [f"media:{'d/' * 1200}x"]


def test_a_path_too_long_for_the_system_is_a_problem(
    media: Path, corpus: Corpus, nested: Callable[[str, int], None]
) -> None:
    nested("d" * 250, 20)
    (problem,) = problems(media, corpus=corpus).values()
    assert problem == ("unreadable", "File name too long")


def test_permissions_are_problems_of_what_they_guard() -> None:
    """In a process without root's privileges, which no permission would hold back."""
    program = ROOT / "tests" / "support" / "ingest_program.py"
    done = subprocess.run(
        [sys.executable, str(program)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    folder = ["permission_denied", "the folder may not be entered or listed"]
    file = ["permission_denied", "the file may not be read"]
    assert json.loads(done.stdout) == {
        ".": [
            ["media:blind", folder],
            ["media:listable/in.wav", folder],
            ["media:locked", folder],
            ["media:open/in.wav", None],
            ["media:own.wav", None],
            ["media:secret.wav", file],
            ["media:to-locked", folder],
        ],
        "locked": [["media:locked", folder]],
        "roots 0": ["media"],
        "roots 1": ["media"],
        "roots 2": ["locked"],
        "roots 3": ["blind", "media"],
        "locked/in.wav": [["locked:in.wav", folder]],
        "secret.wav blind/in.wav": [["blind:in.wav", None], ["media:secret.wav", file]],
        "refused": "locked/deep/in.wav: permission denied",
    }


def test_the_roots_of_a_walk_are_kept(media: Path, corpus: Corpus) -> None:
    touch(media / "a.wav")
    list(discover([media], corpus))
    assert tomllib.loads((corpus.path / "corpus.toml").read_text())["roots"] == {"media": str(media)}


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(names.filter(lambda n: n[0] != "."), min_size=1, max_size=3), max_size=8))
def test_nothing_is_lost(tmp_path_factory: pytest.TempPathFactory, paths: list[list[str]]) -> None:
    base = tmp_path_factory.mktemp("walk")
    media = base / "media"
    media.mkdir()
    for parts in paths:
        path = media.joinpath(*parts)
        if not any(p.is_file() for p in [path, *path.parents]) and not path.is_dir():
            touch(path)
    corpus = Corpus.create(base / "corpus")
    found = list(discover([media], corpus))
    expected = [path for path in media.rglob("*") if path.is_file()]
    assert sorted(f.path for f in found) == sorted(expected)
    assert all(f.problem is None for f in found)
    assert all(media / decode(f.uri)[1] == f.path for f in found)
    assert [os.fsencode(f.path) for f in discover([media], corpus)] == [os.fsencode(f.path) for f in found]
