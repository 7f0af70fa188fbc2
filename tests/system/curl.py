"""The real curl as a client: what documentation shows is what is run. It asserts nothing of the answer."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Curled:
    """An answer as curl wrote it."""

    status: int
    headers: dict[str, str]
    """Names in lower case; the last of repeated ones."""
    body: bytes


def curl(*arguments: str, stdin: bytes = b"") -> Curled:
    """Run curl with these arguments; `-d @-` reads `stdin`."""
    with tempfile.TemporaryDirectory(prefix="isthmus-test-") as folder:
        head, body = Path(folder, "head"), Path(folder, "body")
        command = ("curl", "-sS", "--noproxy", "*", "-D", str(head), "-o", str(body), *arguments)
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=LIMIT_S, check=False)
        assert done.returncode == 0, done.stderr.decode()
        last = head.read_bytes().decode("latin-1").strip().split("\r\n\r\n")[-1]
        first, *lines = last.split("\r\n")
        pairs = (line.split(":", 1) for line in lines)
        return Curled(
            status=int(first.split(" ")[1]),
            headers={name.lower(): value.strip() for name, value in pairs},
            body=body.read_bytes() if body.exists() else b"",
        )
