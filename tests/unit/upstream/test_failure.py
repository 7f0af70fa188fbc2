"""Which of our errors an exception of the HTTP client becomes."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from isthmusd.core.errors import Garbled, GatewayError, InvalidRequest, Misconfigured, TimedOut, Unreachable
from isthmusd.upstream.failure import told_by, translate
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

SECRET_URL = URL("https://inner.example/v1?key=hidden")
PEER: Any = SimpleNamespace(host="inner.example", port=443, ssl=True, is_ssl=True)
REQUEST = aiohttp.RequestInfo(SECRET_URL, "POST", CIMultiDictProxy(CIMultiDict()), SECRET_URL)


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (aiohttp.ClientConnectorDNSError(PEER, socket.gaierror(-2, "Name or service not known")), Unreachable),
        (aiohttp.ClientConnectorError(PEER, ConnectionRefusedError(111, "refused")), Unreachable),
        (aiohttp.ConnectionTimeoutError("Connection timeout to host https://inner.example"), Unreachable),
        (aiohttp.ServerDisconnectedError(), Unreachable),
        (aiohttp.ClientOSError(104, "Connection reset by peer"), Unreachable),
        (ConnectionResetError(104, "Connection reset by peer"), Unreachable),
        (TimeoutError(), TimedOut),
        (aiohttp.ClientResponseError(REQUEST, (), status=400, message="Bad status line"), Garbled),
        (aiohttp.InvalidURL(SECRET_URL), Misconfigured),
        (ValueError("Newline in header"), InvalidRequest),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_exception_becomes_ours(error: Exception, ours: type[GatewayError]) -> None:
    made = translate(error)

    assert type(made) is ours
    assert "inner.example" not in made.message


@pytest.mark.parametrize(
    "error", [aiohttp.ClientResponseError(REQUEST, (), message="Bad status line"), aiohttp.InvalidURL(SECRET_URL)]
)
def test_detail_for_the_operator_holds_no_url(error: Exception) -> None:
    assert "hidden" not in (told_by(error).detail or "")


def test_what_the_client_library_never_raises_is_raised_again() -> None:
    with pytest.raises(KeyError):
        translate(KeyError("bug"))
