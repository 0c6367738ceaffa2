"""The embedded Label Studio: a real server, started, asked, misled, killed and started again."""

from __future__ import annotations

import collections
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

import annotation.server.run as run
from annotation.server import ServerError, access, add_annotator, invite_link, serving
from annotation.server.credentials import load_or_make
from annotation.server.inside.lpse_guard import hands_out, leaves
from annotation.server.inside.lpse_launch import is_here, scrub
from manifests.store import Corpus
from tests.support.label_studio import LabelStudio, login

VERDICT = [{"id": "v", "from_name": "verdict", "to_name": "audio", "type": "choices", "value": {"choices": ["keep"]}}]


def listening(pid: int) -> set[tuple[str, int]]:
    """The (address, port) pairs that a process listens on, from /proc."""
    links = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
    own = {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:[")}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in own:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def answers(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port_of(url))) == 0


def wait_until_silent(url: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while answers(url):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def busy_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def restored(label_studio: LabelStudio, folder: Path) -> Corpus:
    """A corpus restored from a backup of the shared server's: it starts in seconds, all its data are there."""
    corpus = Corpus.create(folder / "corpus")
    old, new = run.server_paths(label_studio.corpus), run.server_paths(corpus)
    new.data.mkdir(parents=True)
    name = "label_studio.sqlite3"
    with closing(sqlite3.connect(old.data / name)) as source, closing(sqlite3.connect(new.data / name)) as target:
        source.backup(target)
    shutil.copy2(old.data / ".env", new.data / ".env")
    shutil.copy2(old.credentials, new.credentials)
    return corpus


def assert_not_served(corpus: Corpus, fault: str, port: int | None = None) -> None:
    """That no server starts for a corpus, with an error that `fault`, a pattern, is found in."""
    with pytest.raises(ServerError, match=fault) as told, serving(corpus, port):
        pass
    assert "\n" not in str(told.value)


def test_it_is_healthy_and_listens_on_loopback_only(label_studio: LabelStudio) -> None:
    assert httpx.get(f"{label_studio.url}/health", trust_env=False).json() == {"status": "UP"}
    with label_studio.client() as client:
        who = client.get("/api/current-user/whoami").raise_for_status().json()
    assert who["email"] == label_studio.email
    with login(label_studio.url, label_studio.email, label_studio.password) as browser:
        assert browser.get("/api/current-user/whoami").json()["email"] == label_studio.email
    # 127.0.0.1 as the kernel writes it, on the port that was said and no other
    assert listening(label_studio.running.pid) == {("0100007F", port_of(label_studio.url))}


def test_pages_are_for_this_machine_and_report_to_nobody(label_studio: LabelStudio) -> None:
    foreign = {"Host": "rebound.example.org", "Origin": "http://rebound.example.org"}
    assert httpx.get(f"{label_studio.url}/user/login/", headers=foreign, trust_env=False).status_code == 400
    with login(label_studio.url, label_studio.email, label_studio.password) as browser:
        pages = [
            browser.get(path, headers={"Origin": "http://example.org"}) for path in ("/projects/", "/organization/")
        ]
    pages += [httpx.get(f"{label_studio.url}/user/{name}/", trust_env=False) for name in ("login", "signup")]
    for page in pages:
        assert "access-control-allow-origin" not in page.raise_for_status().headers
        assert re.search(r"collect_analytics\W+false", page.text)
        assert "sentry.io" not in page.text and "googletagmanager" not in page.text


def test_secrets_are_for_their_owner_only(label_studio: LabelStudio) -> None:
    own = run.server_paths(label_studio.corpus)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (own.credentials, own.log, own.data)}
    assert modes == {"server.toml": 0o600, "label-studio.log": 0o600, "label-studio": 0o700}
    arguments = Path(f"/proc/{label_studio.running.pid}/cmdline").read_text()
    assert label_studio.token not in arguments and label_studio.password not in arguments
    for told in (repr(label_studio.running), repr(label_studio.access)):
        assert label_studio.token not in told and label_studio.password not in told
    assert label_studio.url in repr(label_studio.running)


def test_only_invited_people_sign_up(label_studio: LabelStudio) -> None:
    def attempt(query: str) -> int:
        with httpx.Client(base_url=label_studio.url, trust_env=False, timeout=60.0) as client:
            client.get("/user/signup/").raise_for_status()
            form = {
                "csrfmiddlewaretoken": client.cookies["csrftoken"],
                "email": "stranger@example.org",
                "password": "a stranger's password",
            }
            return client.post(f"/user/signup/{query}", data=form).status_code

    assert attempt("") == 403
    assert attempt("?token=0123456789") == 403
    with label_studio.client() as client:
        known = {user["email"] for user in client.get("/api/users").json()}
    assert "stranger@example.org" not in known


def test_annotators_sign_up_by_the_invite_link(label_studio: LabelStudio) -> None:
    assert invite_link(label_studio.access).startswith(f"{label_studio.url}/user/signup/?token=")
    ann = label_studio.annotator("ann")
    with label_studio.client(ann.token) as client:
        assert client.get("/api/current-user/whoami").json()["email"] == ann.email
    with pytest.raises(ServerError, match=rf"^{ann.email}: .*User with this email already exists$"):
        add_annotator(label_studio.access, ann.email, ann.password)
    with pytest.raises(ServerError, match=r"^bob@example.org: .*8–128 characters in length\.$"):
        add_annotator(label_studio.access, "bob@example.org", "short")


def test_a_wrong_token_and_no_server_are_one_line(label_studio: LabelStudio) -> None:
    wrong = access(label_studio.corpus, label_studio.url, "0" * 40)
    with pytest.raises(ServerError, match=r"^http://127\.0\.0\.1:\d+: Label Studio refuses the token \(status 401\)$"):
        invite_link(wrong)
    with busy_port() as port:
        pass
    with pytest.raises(ServerError, match=rf"^http://127.0.0.1:{port}: Label Studio does not answer: .*refused$"):
        invite_link(access(label_studio.corpus, f"http://127.0.0.1:{port}", "0" * 40))


@pytest.fixture
def inside(label_studio: LabelStudio) -> Iterator[Path]:
    """A served folder that goes again: `push` refuses to serve a corpus whose links lead out of it."""
    with TemporaryDirectory(dir=label_studio.media) as folder:
        yield Path(folder)


def test_files_are_served_in_ranges_and_only_from_inside(label_studio: LabelStudio, inside: Path) -> None:
    label_studio.project("local files")
    (inside / "sound.m4a").write_bytes(bytes(range(256)) * 4)
    (inside / "same.m4a").symlink_to("sound.m4a")
    secret = label_studio.corpus.path / "secret.m4a"
    secret.write_bytes(b"not for annotators")
    (inside / "file.m4a").symlink_to(secret)
    (inside / "folder").symlink_to(label_studio.corpus.path)
    pages = ("/data/local-files/", "/data/local-files", "/anything/data/local-files/else")

    def get(client: httpx.Client, page: str, path: str) -> httpx.Response:
        return client.get(page, params={"d": path}, headers={"Range": "bytes=300-309"})

    with label_studio.client() as client:
        for page in pages:
            for name in ("sound.m4a", "same.m4a"):
                answer = get(client, page, f"media/{inside.name}/{name}")
                assert (answer.status_code, answer.content) == (206, bytes(range(44, 54)))
                assert answer.headers["content-range"] == "bytes 300-309/1024"
            for path in ("file.m4a", "folder/secret.m4a", "../../../secret.m4a"):
                answer = get(client, page, f"media/{inside.name}/{path}")
                assert (answer.status_code, answer.content) == (404, b""), (page, path)
    anonymous = httpx.get(f"{label_studio.url}/data/local-files/?d=media/{inside.name}/sound.m4a", trust_env=False)
    assert anonymous.status_code in (401, 403)


def test_what_leaves_the_root(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root-private").mkdir()
    (tmp_path / "by-link").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "twin").symlink_to(tmp_path / "root-private")
    for root in (tmp_path / "root", tmp_path / "by-link"):
        assert not leaves(str(root), "a/b.m4a")
        assert not leaves(str(root), "/a/b.m4a")  # Label Studio takes it as relative
        assert leaves(str(root), "twin/b.m4a")
        assert leaves(str(root), "../root-private/b.m4a")
        assert leaves(str(root), "a\0b")


def test_it_reaches_nothing_beyond_this_machine(label_studio: LabelStudio) -> None:
    project = label_studio.project("far away")
    with label_studio.client() as client:
        # an address of no machine; as a number it needs no look-up, only the guard can say that there is none
        answer = client.post(f"/api/projects/{project}/import", data={"url": "http://192.0.2.1/tasks.json"})
        assert answer.status_code == 400
        assert "Can't resolve hostname 192.0.2.1" in answer.text
        assert client.get("/heidi-tips/").status_code == 404


@pytest.mark.parametrize(
    ("host", "here"),
    [
        (None, True),
        ("", True),
        ("localhost", True),
        (b"127.0.0.1", True),
        ("::1", True),
        ("192.0.2.1", False),
        ("0.0.0.0", False),
        ("example.org", False),
        (b"example.org", False),
    ],
)
def test_which_hosts_are_here(host: str | bytes | None, here: bool) -> None:
    assert is_here(host) is here


def test_the_log_tells_no_secrets(label_studio: LabelStudio) -> None:
    """Requests that fail are logged; these carry every secret that there is."""
    ann = label_studio.annotator("log")
    invite = invite_link(label_studio.access).rsplit("=", 1)[1]
    own = run.server_paths(label_studio.corpus)
    with login(label_studio.url, label_studio.email, label_studio.password) as browser:
        cookies = [browser.cookies["sessionid"], browser.cookies["csrftoken"]]
        tokens = {"token": label_studio.token, "auth_token": ann.token, "invite": f"token={invite}"}
        assert browser.get("/no-such-page", params=tokens).status_code == 404
        assert browser.get(f"/no-such-page/{label_studio.password}").status_code == 404
        assert (
            browser.get("/no-such-page", params={"sessionid": cookies[0], "csrftoken": cookies[1]}).status_code == 404
        )
    with label_studio.client() as client:
        far = {"project": 1, "bucket": "b", "aws_access_key_id": "a", "aws_secret_access_key": "unspeakable"}
        assert client.post("/api/storages/s3", json=far).status_code >= 400
    log = own.log.read_text(encoding="utf-8")
    key = (own.data / ".env").read_text().strip().removeprefix("SECRET_KEY=")
    secrets = [label_studio.token, label_studio.password, ann.token, invite, key, "unspeakable", *cookies]
    assert [secret for secret in secrets if secret in log] == []
    assert "/no-such-page?token=***" in log and "/no-such-page/***" in log


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("GET /user/signup/?token=abcdef0123 HTTP/1.1", "GET /user/signup/?token=*** HTTP/1.1"),
        ("Authorization: Token abcdef0123", "Authorization: Token ***"),
        ("{'csrftoken': 'abcdef0123', 'n': 1}", "{'csrftoken': '***', 'n': 1}"),
        ("the password is known-1 here", "the password is *** here"),
        (
            "GET /data/local-files/?d=media/{inside.name}/sound.m4a",
            "GET /data/local-files/?d=media/{inside.name}/sound.m4a",
        ),
    ],
)
def test_scrubbing(text: str, scrubbed: str) -> None:
    assert scrub(text, ["known-1"]) == scrubbed


@pytest.mark.parametrize(("people", "wanted"), [(2, 2), (4, 1)])
def test_people_label_at_once(label_studio: LabelStudio, people: int, wanted: int) -> None:
    """Nobody hears of a locked database or too early that all is done; every task is given out as often as wanted."""
    project = label_studio.project(f"{people} people", maximum_annotations=wanted)
    tokens = [label_studio.annotator(f"person-{number}-of-{people}").token for number in range(people)]
    tasks = [{"audio": f"/data/local-files/?d=media/{number}.m4a"} for number in range(12)]
    with label_studio.client() as client:
        imported = client.post(f"/api/projects/{project}/import?return_task_ids=1", json=tasks)
        expected = imported.raise_for_status().json()["task_ids"]
    given: list[int] = []
    refused: list[tuple[int, str]] = []
    together = threading.Barrier(people)

    def label(token: str) -> None:
        with label_studio.client(token) as client:
            together.wait(60)
            while len(given) < 2 * wanted * len(tasks):
                following = client.post(f"/api/dm/actions?id=next_task&project={project}", json={})
                if following.status_code == 404:
                    return
                task = following.json()["id"]
                given.append(task)
                made = client.post(f"/api/tasks/{task}/annotations", json={"result": VERDICT, "lead_time": 1.0})
                refused.extend((a.status_code, a.text) for a in (following, made) if a.is_error)

    threads = [threading.Thread(target=label, args=(token,)) for token in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []
    assert collections.Counter(given) == dict.fromkeys(expected, wanted)


def test_imports_and_labelling_wait_for_each_other(label_studio: LabelStudio) -> None:
    """Transactions that read before they write: Label Studio's own setting fails them, and tries again for minutes."""
    project = label_studio.project("busy")
    batch = [{"data": {"audio": "/a"}, "predictions": [{"model_version": "m", "result": VERDICT}]}] * 300
    with label_studio.client() as client:
        imported = client.post(f"/api/projects/{project}/import?return_task_ids=1", json=batch[:3])
        tasks = imported.raise_for_status().json()["task_ids"]
    statuses: list[int] = []

    def import_batches() -> None:
        with label_studio.client() as client:
            for _ in range(4):
                statuses.append(client.post(f"/api/projects/{project}/import", json=batch).status_code)

    def label(task: int) -> None:
        body = {"result": VERDICT, "lead_time": 1.0}
        with label_studio.client() as client:
            while importing.is_alive():
                for part in ("drafts", "annotations"):
                    statuses.append(client.post(f"/api/tasks/{task}/{part}", json=body).status_code)

    importing = threading.Thread(target=import_batches)
    threads = [importing, *(threading.Thread(target=label, args=(task,)) for task in tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {201}
    assert "database is locked" not in label_studio.running.log.read_text()


@pytest.mark.parametrize(
    ("method", "path", "action", "expected"),
    [
        ("GET", "/api/projects/12/next", None, True),
        ("GET", "/api/projects/12/next/", None, True),
        ("POST", "/api/tasks/3/annotations/", None, True),
        ("POST", "/api/dm/actions", "next_task", True),
        ("POST", "/api/dm/actions", "delete_tasks", False),
        ("GET", "/api/dm/actions", "next_task", False),
        ("GET", "/api/tasks/3/annotations", None, False),
        ("POST", "/api/projects/12/import", None, False),
    ],
)
def test_which_requests_take_turns(method: str, path: str, action: str | None, expected: bool) -> None:
    assert hands_out(method, path, action) is expected


def test_a_corpus_has_one_server(label_studio: LabelStudio) -> None:
    fault = rf"its Label Studio server already runs at {label_studio.url}$"
    assert_not_served(label_studio.corpus, fault)
    assert access(label_studio.corpus) == label_studio.access


def test_a_busy_port_is_named(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    with busy_port() as port:
        assert_not_served(corpus, f"^port {port}: busy: another program uses it$", port)
    for port in (0, 65536):
        assert_not_served(corpus, f"^port {port}: must be 1 to 65535$", port)


def test_a_free_port_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with busy_port() as port:
        monkeypatch.setattr(run, "FIRST_PORT", port)
        monkeypatch.setattr(run, "PORTS", 20)
        assert port < run._first_free() < port + 20
        monkeypatch.setattr(run, "PORTS", 1)
        with pytest.raises(ServerError, match=f"^ports {port} to {port} are all busy"):
            run._first_free()


def test_secrets_that_others_may_read_are_refused(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "a corpus")
    path = run.server_paths(corpus).credentials
    path.parent.mkdir()
    mask = os.umask(0)
    try:
        made = load_or_make(path)
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_make(path) == made
    path.chmod(0o640)
    assert_not_served(corpus, r"0640.*: run chmod 600 '.*a corpus/annotation/server.toml'$")
    assert not run.server_paths(corpus).log.exists()


def test_secrets_are_private_from_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    real = os.fdopen

    def look(descriptor: int, mode: str) -> object:
        modes.append((os.fstat(descriptor).st_mode & 0o777, os.fstat(descriptor).st_size))
        return real(descriptor, mode)

    monkeypatch.setattr(os, "fdopen", look)
    load_or_make(tmp_path / "server.toml")
    assert modes == [(0o600, 0)]
    assert [path.name for path in tmp_path.iterdir()] == ["server.toml"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("email = ", "not TOML"),
        ('email = "a@localhost"', "email and password must be non-empty strings"),
        ('email = "a@localhost"\npassword = "long enough"\ntoken = "0123456789"', "token must be 40 hex digits"),
    ],
)
def test_a_damaged_secrets_file_is_told(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "server.toml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ServerError, match=f"server.toml: {fault}"):
        load_or_make(path)


# Serves a corpus, says where, and then does nothing until it is killed.
_PARENT = """
import sys
from annotation.server import serving
from manifests.store import Corpus
with serving(Corpus.open(sys.argv[1])) as running:
    print(running.url, running.pid, flush=True)
    running.wait()
"""


def test_a_killed_parent_leaves_no_server_and_all_data(
    label_studio: LabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label_studio.project("kept")
    corpus = restored(label_studio, tmp_path)
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(corpus.path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    url, pid = parent.stdout.readline().split()
    assert access(corpus).url == url
    parent.kill()
    parent.communicate()
    assert wait_until_silent(url, 5.0), f"process {pid} goes on serving"
    assert run.server_paths(corpus).address.exists()
    with pytest.raises(ServerError, match=r"^no Label Studio server: start one with lpse annotate serve --corpus "):
        access(corpus)

    # Names that Label Studio, or Python, would take as its own.
    for name, value in {
        "DJANGO_DB": "postgresql",
        "DEBUG": "true",
        "LABEL_STUDIO_HOST": "http://example.org",
        "LABEL_STUDIO_BASE_DATA_DIR": str(tmp_path / "elsewhere"),
        "PYTHONPATH": str(Path(run.__file__).parent),
        "http_proxy": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    lines: list[str] = []

    def tell(line: str) -> None:
        assert run.running_url(corpus) is None  # what the killed one left would be wrong now
        lines.append(line)

    with serving(corpus, on_line=tell) as running:
        assert (running.token, running.password) == (label_studio.token, label_studio.password)
        assert access(corpus).url == running.url
        with httpx.Client(base_url=running.url, trust_env=False, timeout=60.0) as client:
            client.headers["Authorization"] = f"Token {running.token}"
            titles = {project["title"] for project in client.get("/api/projects").json()["results"]}
        assert "kept" in titles
        running.wait(0.1)
        os.kill(running.pid, signal.SIGKILL)
        with pytest.raises(ServerError, match=r"^Label Studio ended \(signal 9\): "):
            running.wait(10)
    assert any(line.startswith("starting Label Studio at http://127.0.0.1:") for line in lines)
    assert not run.server_paths(corpus).address.exists()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.slow
def test_failed_starts_are_told_in_one_line(
    label_studio: LabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = restored(label_studio, tmp_path)
    own = run.server_paths(corpus)

    # somebody takes the port after we looked: the server must not move to the next one
    with monkeypatch.context() as patch, busy_port() as port:
        patch.setattr(run, "_check_free", lambda port: None)
        assert_not_served(corpus, r"did not start \(exit code 1\): Error: That port is already in use", port)

    # a start that was killed between making the administrator and their token
    saved = own.credentials.read_text()
    own.credentials.write_text(saved.replace(label_studio.token, "0" * 40))
    assert_not_served(corpus, r"server.toml: unknown token; move the file away")
    own.credentials.unlink()
    with serving(corpus) as running:  # as told
        assert running.email != label_studio.email
        assert invite_link(access(corpus)).startswith(running.url)
    assert wait_until_silent(running.url, 0.0)

    for path in own.data.glob("label_studio.sqlite3*"):
        path.write_bytes(b"no database at all" * 1000)
    assert_not_served(corpus, r"did not start \(exit code 1\): .*DatabaseError: file is not a database")


def test_another_program_on_the_port_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"status": "UP"}).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    monkeypatch.setattr(run, "START_SECONDS", 1.0)
    with HTTPServer(("127.0.0.1", 0), Healthy) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{other.server_port}"
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
        with pytest.raises(ServerError, match=f"did not answer at {url} within 1 s"):
            run._await_health(process, url, "nonce", tmp_path / "log", print)
        run._stop(process)
        assert process.returncode == -signal.SIGTERM
        other.shutdown()


def test_a_redirect_does_not_take_the_token_along(tmp_path: Path) -> None:
    asked: list[str] = []

    class Redirects(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{other.server_port}/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Redirects) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        found = access(Corpus.create(tmp_path / "corpus"), f"http://127.0.0.1:{other.server_port}", "0" * 40)
        with pytest.raises(ServerError, match=r"no invite link in the answer \(status 302\)$"):
            invite_link(found)
        other.shutdown()
    assert asked == ["/api/invite"]


def test_a_server_that_will_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "STOP_SECONDS", 0.2)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", deaf], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        run._stop(process)
        assert process.returncode == -signal.SIGKILL


@pytest.fixture
def unnamed(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no server."""
    for name in ("LPSE_LABEL_STUDIO_URL", "LPSE_LABEL_STUDIO_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_arguments_come_before_the_environment(label_studio: LabelStudio, unnamed: pytest.MonkeyPatch) -> None:
    corpus = label_studio.corpus
    assert access(corpus) == label_studio.access
    unnamed.setenv("LPSE_LABEL_STUDIO_URL", "https://team.example.org/ls/")
    unnamed.setenv("LPSE_LABEL_STUDIO_TOKEN", "theirs")
    found = access(corpus)
    assert (found.url, found.token) == ("https://team.example.org/ls", "theirs")
    found = access(corpus, "http://127.0.0.1:9000/", "mine")
    assert (found.url, found.token) == ("http://127.0.0.1:9000", "mine")
    assert access(corpus, token="mine").url == "https://team.example.org/ls"


def test_a_token_goes_only_where_it_was_meant_to(tmp_path: Path, unnamed: pytest.MonkeyPatch) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    with pytest.raises(ServerError, match=r"^--url http://127.0.0.1:9000: token missing: give --token, or set "):
        access(corpus, "http://127.0.0.1:9000")
    unnamed.setenv("LPSE_LABEL_STUDIO_TOKEN", "secret")
    assert access(corpus, "http://127.0.0.1:9000").token == "secret"
    with pytest.raises(ServerError, match=r"^LPSE_LABEL_STUDIO_TOKEN is given without a server: give --url") as told:
        access(corpus)
    assert "secret" not in str(told.value)
    unnamed.setenv("LPSE_LABEL_STUDIO_URL", "https://team.example.org")
    with pytest.raises(ServerError, match=r"^--url http://127.0.0.1:9000: token missing"):
        access(corpus, "http://127.0.0.1:9000")
    unnamed.delenv("LPSE_LABEL_STUDIO_TOKEN")
    with pytest.raises(ServerError, match=r"^LPSE_LABEL_STUDIO_URL is https://team.*, but its token is missing"):
        access(corpus)


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://", "http://me:word@host", "http://host?a=b"])
def test_an_address_that_is_none_is_told(tmp_path: Path, unnamed: pytest.MonkeyPatch, url: str) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    with pytest.raises(ServerError, match=r"^--url: invalid address '.*': must be like http://127\.0\.0\.1:8080$"):
        access(corpus, url, "token")


def test_no_server_says_how_to_get_one(tmp_path: Path, unnamed: pytest.MonkeyPatch) -> None:
    corpus = Corpus.create(tmp_path / "a corpus")
    with pytest.raises(ServerError) as told:
        access(corpus)
    assert str(told.value) == (
        f"no Label Studio server: start one with lpse annotate serve --corpus '{corpus.path}', "
        "or give --url and --token"
    )
