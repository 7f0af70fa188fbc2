"""What the start of a run says of itself."""

from __future__ import annotations

from collections.abc import Mapping

from isthmusd import settings
from isthmusd.cli.posture import posture


def said(environ: Mapping[str, str] | None = None) -> list[str]:
    found = settings.load(None, {"HOME": "/home/user", **(environ or {})}, {})
    return posture(found).split("; ")


def test_r26_start_lists_every_open_surface() -> None:
    assert said() == [
        "callers at 127.0.0.1:8080 (this machine only)",
        "operators at 127.0.0.1:9090 (this machine only): metrics to everybody, administration to keys of role admin",
        "calls without a key served with the gateway's provider keys (not with auth.anonymous: false)",
        "providers' own keys taken, for their own provider (not with auth.provider_keys: false)",
        "identity tokens of nobody",
        "other tokens judged by nobody",
        "web pages of nobody",
        "gRPC reflection on",
        "URLs of callers fetched",
        "secret from /home/user/.local/share/isthmus/secret",
        "store /home/user/.local/share/isthmus/isthmus.db",
        "answers kept in /home/user/.local/share/isthmus/cache.db, for callers of one credential",
    ]


def test_r26_what_is_closed_or_open_to_others_is_said_as_such() -> None:
    now = said(
        {
            "ISTHMUS_LISTEN": "0.0.0.0:8080",
            "ISTHMUS_AUTH_ANONYMOUS": "false",
            "ISTHMUS_AUTH_PROVIDER_KEYS": "false",
            "ISTHMUS_AUTH_FIREBASE_PROJECT": "my-project",
            "ISTHMUS_CORS_ORIGINS": "https://app.example.com",
            "ISTHMUS_MEDIA_FETCH": "false",
            "ISTHMUS_SECRET": "canary-secret-0123456789-abcdefghijkl",
            "ISTHMUS_STORE_URL": "postgresql://isthmus:canary-password@db.example.com/isthmus",
            "ISTHMUS_CACHE_URL": "rediss://isthmus:canary-password@cache.example.com:6380/0",
            "ISTHMUS_CACHE_SCOPE": "tenant",
        }
    )

    assert "callers at 0.0.0.0:8080 (other machines too)" in now
    assert "calls without a key refused" in now
    assert "providers' own keys refused" in now
    assert "identity tokens of https://securetoken.google.com/my-project" in now
    assert "web pages of https://app.example.com" in now
    assert "gRPC reflection off" in now
    assert "URLs of callers not fetched" in now
    assert now[-3:] == [
        "secret from the settings",
        "store in Postgres",
        "answers kept in rediss://isthmus:***@cache.example.com:6380/0, for callers of one tenant",
    ]
    assert "canary" not in "; ".join(now)


def test_r26_what_is_kept_nowhere_is_said_as_such() -> None:
    assert said({"ISTHMUS_CACHE_ENABLED": "false"})[-1] == "answers kept nowhere"
    assert said({"ISTHMUS_CACHE_URL": "memory"})[-1] == "answers kept in memory, for callers of one credential"
