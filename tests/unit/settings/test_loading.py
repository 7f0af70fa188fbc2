"""Settings from files, variables and flags: which one wins, and what is said of faults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from isthmusd.edge.options import Address
from isthmusd.pipeline.resolve import ModelAlias
from isthmusd.settings import Settings, SettingsError, load


def loaded(
    tmp_path: Path,
    text: str | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    config = None
    if text is not None:
        config = tmp_path / "isthmus.yaml"
        config.write_text(text)
    return load(config, environ or {}, overrides or {})


def refused(tmp_path: Path, text: str | None = None, environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text, environ)
    return str(caught.value).replace(f"{tmp_path}/isthmus.yaml: ", "")


def test_nothing_at_all_gives_the_defaults(tmp_path: Path) -> None:
    settings = loaded(tmp_path, environ={"HOME": "/home/user"})

    assert str(settings.edge.listen) == "127.0.0.1:8080"
    assert str(settings.edge.admin) == "127.0.0.1:9090"
    assert settings.edge.workers >= 1
    assert settings.edge.with_envoy
    assert settings.data == Path("/home/user/.local/share/isthmus")
    assert (settings.pipeline.anonymous, settings.pipeline.provider_keys) == (True, True)
    assert settings.pipeline.default_provider == "openai"
    assert (settings.pipeline.request_bytes, settings.pipeline.upload_bytes) == (50 << 20, 512 << 20)
    assert settings.grpc.message_bytes == 64 << 20
    assert (settings.pipeline.request_s, settings.pipeline.first_event_s, settings.pipeline.idle_s) == (600, 120, 300)
    assert settings.pipeline.calls == 10_000
    assert settings.log_level == "info"
    assert settings.warnings == (
        "no provider has a key: only demo/echo and callers with their own keys will get answers",
    )


def test_data_directory_follows_xdg(tmp_path: Path) -> None:
    settings = loaded(tmp_path, environ={"XDG_DATA_HOME": "/srv/data", "HOME": "/home/user"})

    assert settings.data == Path("/srv/data/isthmus")


def test_flags_beat_variables_beat_the_file(tmp_path: Path) -> None:
    text = "listen: 127.0.0.1:1\nadmin: 127.0.0.1:11\nworkers: 1\nlimits: {idle_s: 5, calls: 7}\n"
    environ = {"ISTHMUS_LISTEN": "127.0.0.1:2", "ISTHMUS_ADMIN": "127.0.0.1:12", "ISTHMUS_LIMITS_IDLE_S": "6.5"}

    settings = loaded(tmp_path, text, environ, {"listen": "127.0.0.1:3", "admin": None})

    assert settings.edge.listen == Address(host="127.0.0.1", port=3)
    assert settings.edge.admin == Address(host="127.0.0.1", port=12)
    assert (settings.pipeline.idle_s, settings.pipeline.calls, settings.edge.workers) == (6.5, 7, 1)


def test_variables_mirror_the_tree(tmp_path: Path) -> None:
    environ = {
        "ISTHMUS_AUTH_ANONYMOUS": "false",
        "ISTHMUS_AUTH_PROVIDER_KEYS": "0",
        "ISTHMUS_CORS_ORIGINS": "https://a.example, https://b.example",
        "ISTHMUS_DEFAULT_PROVIDER": "null",
        "ISTHMUS_WORKERS": "3",
        "ISTHMUS_ENVOY": "false",
        "ISTHMUS_GRPC_REFLECTION": "false",
        "ISTHMUS_LOG_LEVEL": "error",
        "ISTHMUS_DATA": "/srv/isthmus",
    }

    settings = loaded(tmp_path, environ=environ)

    assert (settings.pipeline.anonymous, settings.pipeline.provider_keys) == (False, False)
    assert settings.edge.cors_origins == settings.pipeline.cors_origins == ("https://a.example", "https://b.example")
    assert settings.pipeline.default_provider is None
    assert (settings.edge.workers, settings.edge.with_envoy) == (3, False)
    assert settings.grpc.reflection is False
    assert settings.log_level == "error"
    assert settings.data == Path("/srv/isthmus")


@pytest.mark.parametrize(
    ("listen", "reflection"), [("127.0.0.1:0", True), ("[::1]:0", True), ("localhost:0", True), ("10.0.0.1:80", False)]
)
def test_reflection_is_for_loopback_unless_set(tmp_path: Path, listen: str, reflection: bool) -> None:
    text = f"listen: '{listen}'\nauth: {{anonymous: false}}\n"

    assert loaded(tmp_path, text).grpc.reflection is reflection
    assert loaded(tmp_path, text + "grpc: {reflection: true}\n").grpc.reflection is True


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("listn: 127.0.0.1:1", "listn: unknown key; did you mean listen?"),
        ("limits: {idle: 5}", "limits.idle: unknown key; did you mean limits.idle_s?"),
        ("auth: {anonymus: false}", "auth.anonymus: unknown key; did you mean auth.anonymous?"),
        ("grpc: {zzz: 1}", "grpc.zzz: unknown key; known: reflection"),
        (
            "providers: {openai: {api_kee: x}}",
            "providers.openai.api_kee: unknown key; did you mean providers.openai.api_key?",
        ),
        ("limits: {idle_s: soon}", "limits.idle_s: expected a number, got str"),
        ("limits: {idle_s: 0}", "limits.idle_s: expected float > 0.0"),
        ("limits: {calls: 1.5}", "limits.calls: expected a whole number, got float"),
        ("auth: {anonymous: 'no'}", "auth.anonymous: expected true or false, got str"),
        ("workers: 0", "workers: expected int >= 1"),
        ("cors: {origins: https://a.example}", "cors.origins: expected a list, got str"),
        ("cors: {origins: [https://a.example, 5]}", "cors.origins[1]: expected text, got int"),
        ("log: {level: loud}", "log.level: expected one of debug, info, warning, error"),
        ("limits: 5", "limits: expected a map, got int"),
        ("- a", "the file: expected a map, got list"),
        ("5: a", "5: expected a name as key; write it in quotes"),
        ("models: {fast: gpt}", "models.fast: expected PROVIDER/MODEL, got 'gpt'"),
        ("models: {fast: {provider: openai}}", "models.fast: model must be set"),
        ("models: {fast: opnai/gpt}", "models.fast.provider: opnai is no provider; did you mean openai?"),
        ("default_provider: opnai", "default_provider: opnai is no provider; did you mean openai?"),
        ("listen: nowhere", "listen: 'nowhere' is not HOST:PORT (an IPv6 host goes in brackets)"),
        ("admin: 127.0.0.1:70000", "admin: '127.0.0.1:70000' has no port between 0 and 65535"),
        ("listen: 127.0.0.1:9090", "admin: 127.0.0.1:9090 is the listen address too; choose another port"),
        ("listen: 127.0.0.1:1\nlisten: 127.0.0.1:2", "line 2: listen is written twice"),
        ("models:\n  a: openai/x\n  a: openai/y", "line 3: a is written twice"),
        ("cors: {origins: [https://a.example, https://a.example]}", "cors.origins: https://a.example is there twice"),
        (
            "cors: {origins: [a.example]}",
            "cors.origins[0]: expected an origin such as https://app.example.com, got 'a.example'",
        ),
        (
            "providers: {My Box: {base_url: 'http://a/v1'}}",
            "providers.My Box: a name is made of a-z, 0-9, dot, dash and underscore",
        ),
        (
            "providers: {openai: {auth: magic}}",
            "providers.openai.auth: expected one of bearer, x-api-key, api-key, x-goog-api-key, none",
        ),
        (
            "providers: {openai: {base_url: 'http://me:hunter2@127.0.0.1/v1'}}",
            "providers.openai.base_url: must hold no query, fragment or password; a secret is api_key",
        ),
        ("providers: {mybox: {models: [a, a], base_url: 'http://a/v1'}}", "providers.mybox.models: a is there twice"),
    ],
)
def test_faults_name_the_key_and_what_to_write(tmp_path: Path, text: str, complaint: str) -> None:
    assert refused(tmp_path, text) == complaint


def test_faults_in_a_file_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"isthmus\.yaml: listn: unknown key"):
        loaded(tmp_path, "listn: a")


def test_absent_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nothing\.yaml: cannot be read: .*No such file"):
        load(tmp_path / "nothing.yaml", {}, {})


def test_broken_yaml_is_a_fault_and_bare_references_in_braces_get_a_hint(tmp_path: Path) -> None:
    assert refused(tmp_path, "a: [1").startswith("is no YAML: ")
    assert '{api_key: "${NAME}"}' in refused(tmp_path, "providers: {openai: {api_key: ${KEY}}}", {"KEY": "k"})


def test_empty_file_and_empty_sections_give_the_defaults(tmp_path: Path) -> None:
    assert (
        loaded(tmp_path, "").pipeline == loaded(tmp_path, "limits:\nproviders:\n").pipeline == loaded(tmp_path).pipeline
    )


@pytest.mark.parametrize(
    ("variable", "text", "complaint"),
    [
        ("ISTHMUS_AUTH_ANONYMUS", "0", "ISTHMUS_AUTH_ANONYMUS: unknown variable; did you mean ISTHMUS_AUTH_ANONYMOUS?"),
        ("ISTHMUS_WORKERS", "many", "ISTHMUS_WORKERS: expected int | null, got str"),
        ("ISTHMUS_WORKERS", "0", "ISTHMUS_WORKERS: expected int >= 1"),
        ("ISTHMUS_AUTH_ANONYMOUS", "perhaps", "ISTHMUS_AUTH_ANONYMOUS: expected true or false, got str"),
    ],
)
def test_faults_in_variables_name_the_variable(tmp_path: Path, variable: str, text: str, complaint: str) -> None:
    assert refused(tmp_path, environ={variable: text}) == complaint


def test_variables_that_resemble_no_setting_are_warned_of_and_those_of_kubernetes_are_not(tmp_path: Path) -> None:
    environ = {"ISTHMUS_QUX": "1", "ISTHMUS_SERVICE_HOST": "10.0.0.1", "ISTHMUS_PORT": "tcp://10.0.0.1:80"}

    settings = loaded(tmp_path, environ=environ)

    assert settings.warnings[0] == "ISTHMUS_QUX is set but names no setting"
    assert not any("SERVICE" in warning or "PORT" in warning for warning in settings.warnings)


def test_references_are_resolved_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("sk-from-file\n")
    text = """
providers:
  openai: {base_url: "https://${HOST}/v1", api_key: "${TEAM_KEY}"}
  groq: {api_key: "file:secret"}
"""

    settings = loaded(tmp_path, text, {"HOST": "proxy.example", "TEAM_KEY": "sk-team"})

    assert settings.providers["openai"].base_url == "https://proxy.example/v1"
    assert settings.providers["openai"].api_key == "sk-team"
    assert settings.providers["groq"].api_key == "sk-from-file"


def test_references_are_not_resolved_in_variables_and_flags(tmp_path: Path) -> None:
    settings = loaded(tmp_path, environ={"OPENAI_API_KEY": "${SHELL}", "SHELL": "x"}, overrides={"data": "${SHELL}"})

    assert settings.providers["openai"].api_key == "${SHELL}"
    assert settings.data == Path("${SHELL}")


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("${NOT_SET}", "providers.openai.api_key: ${NOT_SET} is not set in the environment"),
        ("${EMPTY}", "providers.openai.api_key: ${EMPTY} is not set in the environment"),
    ],
)
def test_reference_to_nothing_is_a_fault(tmp_path: Path, key: str, complaint: str) -> None:
    assert refused(tmp_path, f'providers: {{openai: {{api_key: "{key}"}}}}', {"EMPTY": ""}) == complaint


def test_secret_file_that_is_absent_or_empty_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")

    absent = refused(tmp_path, "providers: {openai: {api_key: 'file:absent'}}")
    empty = refused(tmp_path, "providers: {openai: {api_key: 'file:empty'}}")

    assert absent.startswith("providers.openai.api_key: cannot be read: ")
    assert empty == f"providers.openai.api_key: {tmp_path}/empty is empty"


def test_provider_variables_enable_and_point_providers(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "MISTRAL_API_KEY": ""}

    settings = loaded(tmp_path, environ=environ)

    assert settings.providers["openai"].api_key == "sk-1"
    assert settings.providers["openai"].base_url == "http://127.0.0.1:9/v1"
    assert list(settings.providers) == ["openai"]
    assert settings.warnings == ()


def test_the_file_beats_provider_variables_key_by_key(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": "sk-env", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "MYBOX_API_KEY": "box"}
    text = "providers: {openai: {api_key: sk-file}, mybox: {base_url: 'http://127.0.0.1:8/v1'}}"

    settings = loaded(tmp_path, text, environ)

    assert settings.providers["openai"].api_key == "sk-file"
    assert settings.providers["openai"].base_url == "http://127.0.0.1:9/v1"
    assert settings.providers["mybox"].api_key == "box"


def test_models_are_written_short_or_long(tmp_path: Path) -> None:
    text = "models: {fast: openai/gpt-4o-mini, deep: {provider: openrouter, model: a/b}}"

    assert loaded(tmp_path, text).models == {
        "fast": ModelAlias(provider="openai", model="gpt-4o-mini"),
        "deep": ModelAlias(provider="openrouter", model="a/b"),
    }


PUBLIC = "listen: 0.0.0.0:8080\n"


def test_public_address_with_anonymous_access_is_refused(tmp_path: Path) -> None:
    complaint = refused(tmp_path, PUBLIC)

    assert complaint.startswith("listen: 0.0.0.0:8080 can be reached from other machines")
    assert "--allow-public-anonymous" in complaint
    assert "ISTHMUS_AUTH_ANONYMOUS=false" in complaint


@pytest.mark.parametrize("listen", ["'[::]:80'", "example.com:80", "'10.1.2.3:80'"])
def test_every_other_address_is_public(tmp_path: Path, listen: str) -> None:
    assert "can be reached from other machines" in refused(tmp_path, f"listen: {listen}")


def test_public_address_is_accepted_without_anonymous_access_or_on_purpose(tmp_path: Path) -> None:
    closed = loaded(tmp_path, PUBLIC + "auth: {anonymous: false}")
    by_file = loaded(tmp_path, PUBLIC + "allow_public_anonymous: true")
    by_flag = loaded(tmp_path, PUBLIC, overrides={"allow_public_anonymous": True})

    assert not closed.pipeline.anonymous
    assert by_file.pipeline.anonymous
    assert by_flag.pipeline == by_file.pipeline
    assert not by_flag.pipeline.loopback_hosts_only
    assert any("can spend your provider keys" in warning for warning in by_flag.warnings)


def test_secrets_that_others_can_read_are_warned_of(tmp_path: Path) -> None:
    text = "providers: {openai: {api_key: sk-in-the-file}}"
    config = tmp_path / "isthmus.yaml"
    config.write_text(text)

    config.chmod(0o644)
    open_file = load(config, {}, {}).warnings
    config.chmod(0o600)
    closed_file = load(config, {}, {}).warnings

    assert any("holds secrets and others may read it" in warning for warning in open_file)
    assert closed_file == ()


def test_flavours_and_capabilities_of_a_provider_are_typed(tmp_path: Path) -> None:
    text = """
providers:
  mybox:
    base_url: http://127.0.0.1:9/v1
    models: [tiny]
    accepts: {stream_options: false}
"""

    options = loaded(tmp_path, text).providers["mybox"]

    assert tuple(options.models or ()) == ("tiny",)
    assert options.accepts == {"stream_options": False}


def test_what_exposes_the_gateway_is_warned_of(tmp_path: Path) -> None:
    text = "admin: 0.0.0.0:9090\ncors: {origins: ['*']}\nproviders: {openai: {api_key: '${KEY}'}}\n"

    admin, cors = loaded(tmp_path, text, {"KEY": "sk-1"}).warnings

    assert admin == "admin: 0.0.0.0:9090 shows metrics to everyone who reaches it"
    assert cors.startswith("cors.origins: every web page")


@pytest.mark.parametrize("name", ["workers", "data"])
def test_an_explicit_null_is_the_machines_default(tmp_path: Path, name: str) -> None:
    file = tmp_path / "isthmus.yaml"
    file.write_text(f"{name}: null\n")

    settings = load(file, {"HOME": "/home/user"}, {})

    assert settings.tree.workers == len(os.sched_getaffinity(0))
    assert settings.data == Path("/home/user/.local/share/isthmus")
