"""A caller over HTTP that takes it calmly when the gateway dies while it speaks. It asserts nothing of the answers."""

from __future__ import annotations

import http.client
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import msgspec

CALM_S = 10.0


class Caller:
    """One connection to a gateway."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=CALM_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, raised: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def status(self, token: str) -> int:
        """How the gateway answers one who only asks for the models."""
        return self._ask("GET", "/v1/models", token)[0]

    def error(self, token: str) -> tuple[int, str | None]:
        """As `status`, with the error's code."""
        status, content = self._ask("GET", "/v1/models", token)
        return status, None if status == 200 else msgspec.json.decode(content)["error"]["code"]

    def issue(self, token: str) -> str | None:
        """Make a temporary credential; None if the gateway is gone."""
        try:
            status, content = self._ask("POST", "/v1/credentials", token, b'{"ttl_seconds":600}')
        except (OSError, http.client.HTTPException):
            return None
        return msgspec.json.decode(content)["key"] if status == 200 else None

    def _ask(self, method: str, path: str, token: str, content: bytes | None = None) -> tuple[int, bytes]:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        self._connection.request(method, path, content, headers)
        response = self._connection.getresponse()
        return response.status, response.read()
