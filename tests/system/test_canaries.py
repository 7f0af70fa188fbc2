"""No secret is where it does not belong: a marker for each of them goes through everything that the gateway does, well
and badly, and is then searched for in all that the gateway wrote, said and sent."""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat
import subprocess
import sys
import urllib.request
from base64 import b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.system.kept_calls import settled
from tests.system.spilling import (
    ANSWERED,
    CALLERS,
    COOKIE,
    HOOKED,
    ORGANIZATION,
    OWNED,
    SHARED,
    X_API_KEY,
    Spilled,
    spilling,
)

pytestmark = pytest.mark.edge
KEEPS_THE_MASTER = "secret"
"""The one file of the data directory that is a secret."""
PASSWORD = "canary-in-the-stores-password"


@pytest.fixture(scope="module")
def spilled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spilled]:
    with spilling(tmp_path_factory.mktemp("canaries")) as done:
        assert settled(done.data)
        yield done
    assert list(done.temporary.glob("isthmus-*")) == [], "what a run needs goes with it"


def forms(secret: bytes) -> Iterator[bytes]:
    """How a secret may be written."""
    yield secret
    yield b64encode(secret).rstrip(b"=")
    yield secret.hex().encode()
    yield quote(secret, safe="").encode()
    yield json.dumps(secret.decode("latin-1"))[1:-1].encode()


def found(secrets: dict[str, bytes], content: bytes) -> list[str]:
    return [name for name, secret in secrets.items() if any(form in content for form in forms(secret))]


def found_in(spilled: Spilled, paths: Iterable[Path]) -> dict[str, list[str]]:
    searched = {str(path): found(spilled.secrets, path.read_bytes()) for path in paths if path.is_file()}
    assert searched
    return {path: names for path, names in searched.items() if names}


def test_the_markers_went_through_everything(spilled: Spilled) -> None:
    """Otherwise the rest would show nothing."""
    statuses = {answer.status for _, answer in (*spilled.heard, *spilled.bodies)}
    paid = {(each.header("authorization") or "").removeprefix("Bearer ") for each in spilled.provider.requests}
    log = spilled.gateway.log.read_text()

    assert {200, 400, 401, 403, 404, 422, 429, 502, 504} <= statuses
    assert {"UNAUTHENTICATED", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "UNAVAILABLE", "NOT_FOUND"} <= statuses
    assert paid == {SHARED, OWNED, CALLERS}
    for end in ("complete", "refused", "failed", "interrupted", "cancelled"):
        assert f'"end":"{end}"' in log, end
    assert '"end":"bug"' not in log


def test_r11_nothing_that_is_written_holds_a_secret(spilled: Spilled) -> None:
    kept = [path for path in spilled.data.rglob("*") if path.name != KEEPS_THE_MASTER]

    assert any(path.suffix == ".db" for path in kept)
    assert found_in(spilled, [spilled.gateway.log, *kept]) == {}


def test_r11_no_file_of_the_data_directory_is_anybody_elses(spilled: Spilled) -> None:
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (spilled.data, *spilled.data.rglob("*"))}

    assert modes[spilled.data / KEEPS_THE_MASTER] == 0o600
    assert modes[spilled.data] & 0o077 == 0 or not [path for path, mode in modes.items() if mode & 0o077]


def test_r11_nothing_that_operators_read_holds_a_secret(spilled: Spilled) -> None:
    public, admin = spilled.gateway.url, spilled.gateway.admin_url
    for url in (f"{admin}/metrics", f"{public}/readyz", f"{public}/healthz", f"{public}/.well-known/jwks.json"):
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert found(spilled.secrets, answer.read()) == [], url


@pytest.mark.parametrize("path", ["/config_dump?include_eds", "/clusters", "/stats", "/server_info", "/listeners"])
def test_r11_envoy_knows_no_secret(spilled: Spilled, path: str) -> None:
    (place,) = spilled.temporary.glob("isthmus-*/envoy.sock")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.settimeout(10)
        opened.connect(str(place))
        connection = http.client.HTTPConnection("envoy")
        connection.sock = opened
        connection.request("GET", path)
        answer = connection.getresponse()
        content = answer.read()

    assert answer.status == 200
    assert found(spilled.secrets, content) == []


def test_r12_no_answer_tells_a_secret(spilled: Spilled) -> None:
    """Nor does a header, the details of a status, or metadata."""
    secrets = {name: secret for name, secret in spilled.secrets.items() if secret.decode("latin-1") != ANSWERED}
    told = {what: found(secrets, answer.everything) for what, answer in spilled.heard}
    told |= {what: found(secrets, repr(answer.headers).encode()) for what, answer in spilled.bodies}

    assert {what: names for what, names in told.items() if names} == {}


def test_r12_r13_no_answer_names_the_provider_s_address_or_account(spilled: Spilled) -> None:
    marks = {"address": f"127.0.0.1:{spilled.provider.port}".encode(), "account": ORGANIZATION.encode()}
    own = ("own ", "identity ", "custody ", "callers own ")
    heard = [(what, answer) for what, answer in spilled.heard if not what.startswith("admin ")]
    told = {what: found(marks, answer.everything) for what, answer in heard}
    told |= {what: found(marks, repr(answer.headers).encode()) for what, answer in spilled.bodies}

    assert {what for what, names in told.items() if "address" in names} == set()
    assert {what for what, names in told.items() if "account" in names and not what.startswith(own)} == set()


def test_r12_what_a_provider_says_is_told_without_its_secrets(spilled: Spilled) -> None:
    """The message as such is the caller's."""
    answers = {what: answer for what, answer in spilled.heard if what.startswith(("own 400", "shared 400"))}

    assert len(answers) == 2 * 15
    for what, answer in answers.items():
        assert b"Incorrect key [redacted] of " in answer.everything.replace(b"%20", b" "), what


def test_bodies_that_are_passed_on_keep_every_byte(spilled: Spilled) -> None:
    """Forward and the tenant's own path give the provider's answer to the one who pays, as it is."""
    answers = [answer for what, answer in spilled.bodies if what.startswith("own 400: http")]

    assert len(answers) == 4
    assert all(f"Incorrect key {OWNED} of".encode() in answer.body for answer in answers)


def test_r11_no_provider_gets_what_opens_the_gateway(spilled: Spilled) -> None:
    passed = {name: token.encode() for name, token in spilled.passed.items()}
    passed |= {"cookie": COOKIE.encode(), "x-api-key": X_API_KEY.encode(), "hook": HOOKED.encode()}
    spent = {
        f"{each.method} {each.path}": found(passed, repr(each.headers).encode() + each.body + each.path.encode())
        for each in spilled.provider.requests
    }

    assert len(spilled.provider.requests) > 500
    assert {what: names for what, names in spent.items() if names} == {}


def test_r11_processes_show_no_secret(spilled: Spilled) -> None:
    """Our own processes inherit the environment that they were started with; Envoy gets nothing of it."""
    processes = {spilled.gateway.process.pid: "serve", **spilled.gateway.children()}

    assert len(processes) >= 5, "the supervisor, two workers, the recorder, Envoy"
    for pid, line in processes.items():
        inherited = [] if "envoy" in line.split()[0] else ["the environment"]
        assert found(spilled.secrets, Path(f"/proc/{pid}/cmdline").read_bytes()) == [], line
        assert found(spilled.secrets, Path(f"/proc/{pid}/environ").read_bytes()) == inherited, line


def test_r11_the_runs_own_folder_is_private(spilled: Spilled) -> None:
    (folder,) = spilled.temporary.glob("isthmus-*")
    files = [path for path in folder.rglob("*") if path.is_file()]
    holding = {path.name for path in map(Path, found_in(spilled, files))}

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert holding <= {"settings.json", "recorder.json"}
    for path in files:
        if path.name in holding:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("provider-keys", "list", "acme", "--json"),
        ("provider-keys", "set", "nobody", "openai"),
        ("records", "--bodies", "--json"),
    ],
)
def test_r11_commands_show_no_secret(spilled: Spilled, arguments: tuple[str, ...]) -> None:
    environ = {"ISTHMUS_DATA": str(spilled.data), "OPENAI_API_KEY": SHARED}
    done = command(*arguments, stdin=OWNED, **environ)

    assert found(spilled.secrets, done.stdout + done.stderr) == []
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [("check",), ("tenants", "list"), ("serve", "--listen", "127.0.0.1:0")])
def test_r11_the_password_of_a_store_is_not_told(arguments: tuple[str, ...], tmp_path: Path) -> None:
    url = f"postgresql://isthmus:{PASSWORD}@127.0.0.1:1/isthmus"
    done = command(*arguments, ISTHMUS_STORE_URL=url, ISTHMUS_DATA=str(tmp_path), ISTHMUS_ADMIN="127.0.0.1:0")

    assert found({"password": PASSWORD.encode()}, done.stdout + done.stderr) == []
    assert b"Traceback" not in done.stderr


def command(*arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-m", "isthmusd.cli", *arguments]
    given = {**os.environ, **environ}
    return subprocess.run(argv, env=given, input=stdin.encode(), capture_output=True, timeout=60, check=False)
