"""What the operator says of the cache."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from isthmusd.settings import Settings, SettingsError, load
from isthmusd.stores.caching import CacheOptions

MIB = 1024 * 1024


def settings_of(text: str, **environ: str) -> Settings:
    return load(None, {"HOME": "/home/user", "ISTHMUS_DATA": "/data", "ISTHMUS_CACHE_URL": text, **environ}, {})


def cache_of(url: str) -> CacheOptions:
    cache = settings_of(url).cache
    assert cache is not None
    return cache


def complaint(url: str, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        settings_of(url, **environ)
    return str(caught.value)


def test_answers_are_kept_in_a_file_unless_something_is_said() -> None:
    settings = load(None, {"HOME": "/home/user", "ISTHMUS_DATA": "/data"}, {})

    assert settings.cache == CacheOptions(
        memory_bytes=256 * MIB, path=Path("/data/cache.db"), url=None, store_bytes=2048 * MIB, timeout_s=0.05
    )
    assert settings.pipeline.cache_entry_bytes == 8 * MIB
    assert settings.pipeline.cache_per_tenant is False


def test_everything_can_be_said(tmp_path: Path) -> None:
    config = tmp_path / "isthmus.yaml"
    config.write_text(
        "cache: {scope: tenant, memory_bytes: 0, store_bytes: 2097152, entry_bytes: 9, timeout_s: 1,"
        f" url: 'sqlite:///{tmp_path}/answers.db'}}\n"
    )

    settings = load(config, {}, {})

    assert settings.cache == CacheOptions(
        memory_bytes=0, path=tmp_path / "answers.db", store_bytes=2 * MIB, timeout_s=1.0
    )
    assert settings.pipeline.cache_entry_bytes == 9
    assert settings.pipeline.cache_per_tenant is True
    assert Settings.read(settings.dump()).cache == settings.cache


def test_a_cache_that_is_off_asks_for_nothing() -> None:
    assert settings_of("ftp://nonsense", ISTHMUS_CACHE_ENABLED="false").cache is None


def test_memory_alone_has_neither_file_nor_server() -> None:
    cache = cache_of("memory")

    assert (cache.path, cache.url) == (None, None)


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("redis://h", "redis://h"),
        ("redis://h:7/", "redis://h:7/"),
        ("rediss://h:7/3?ssl_ca_certs=/ca.pem", "rediss://h:7/3?ssl_ca_certs=/ca.pem"),
        ("valkey://:p%40ss@[::1]:7/0", "redis://:p%40ss@[::1]:7/0"),
        ("valkeys://me:p@h/0", "rediss://me:p@h/0"),
    ],
)
def test_servers_are_named_as_their_driver_does(written: str, asked: str) -> None:
    cache = cache_of(written)

    assert (cache.path, cache.url) == (None, asked)


@pytest.mark.parametrize(
    "url",
    [
        "redis:/h", "redis://", "redis://h:port", "redis://h/name", "redis://h/0/1", "redis://u:p@ss@h", "redis://u:pa/ss@h",
        "redis://u:pa#ss@h", "redis://h/0?password=passphrase", "redis://h/0?ssl_ca_certs", "http://h", "Memory", "",
        "redis://[h", "redis://a b", "postgresql://u:passphrase@h/n",
    ],
)  # fmt: skip
def test_what_is_no_place_is_refused_without_a_word_of_it(url: str) -> None:
    message = complaint(url)

    assert message.startswith("cache.url: expected redis://")
    assert "pa" not in message.partition("expected")[2].replace("password", "")


def test_the_file_is_not_the_stores() -> None:
    assert "tenants and keys" in complaint("sqlite:////data/isthmus.db")
    assert "tenants and keys" in complaint("sqlite:////s/../s/x.db", ISTHMUS_STORE_URL="sqlite:////s/x.db")
    assert "write memory" in complaint("sqlite:///:memory:")
    with pytest.raises(SettingsError, match=r"cache\.url: tenants and keys"):
        load(None, {"ISTHMUS_DATA": "/data", "ISTHMUS_STORE_URL": "sqlite:////data/cache.db"}, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [("TIMEOUT_S", "0"), ("TIMEOUT_S", "1.1"), ("MEMORY_BYTES", "-1"), ("STORE_BYTES", "5"), ("ENTRY_BYTES", "0")],
)
def test_what_cannot_be_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load(None, {f"ISTHMUS_CACHE_{name}": value}, {})


def test_unknown_scope_is_answered_by_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="expected one of credential, tenant"):
        load(None, {"ISTHMUS_CACHE_SCOPE": "everybody"}, {})


def test_a_password_is_masked_and_the_rest_is_shown() -> None:
    settings = settings_of("rediss://me:very-secret@cache.example:7/1")

    assert settings.masked()["cache"]["url"] == "rediss://me:***@cache.example:7/1"
    assert "very-secret" not in repr(settings)


@pytest.mark.parametrize("url", ["memory", "valkey://cache.example/1", "sqlite:////data/answers.db"])
def test_what_holds_no_password_is_shown_as_it_is_written(url: str) -> None:
    assert settings_of(url).masked()["cache"]["url"] == url


def test_what_is_missing_for_a_server_is_said_before_the_start() -> None:
    program = (
        "import sys; sys.modules['redis'] = None\n"
        "from isthmusd.settings import load, SettingsError\n"
        "try: load(None, {'ISTHMUS_CACHE_URL': 'valkey://h'}, {})\n"
        "except SettingsError as error: print(error)\n"
    )

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert said.stdout.startswith("cache.url: ")
    assert "pip install 'isthmus-gateway[redis]'" in said.stdout
