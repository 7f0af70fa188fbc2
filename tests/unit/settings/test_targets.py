"""Several targets of a model, several credentials of a provider, and what is fetched: as the operator writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from isthmusd.pipeline.resolve import ModelTarget
from isthmusd.settings import Settings, SettingsError, load


def loaded(tmp_path: Path, text: str = "", environ: Mapping[str, str] | None = None) -> Settings:
    config = tmp_path / "isthmus.yaml"
    config.write_text(text)
    return load(config, environ or {}, {})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "providers: {openai: {endpoint: a, endpoints: {a: {api_key: k}}}}",
            "providers.openai.endpoints: a is there twice",
        ),
        (
            "providers: {openai: {endpoints: {a b: {api_key: k}}}}",
            "providers.openai: 'a b' is no name of a credential; take letters, digits, dot, dash and underscore",
        ),
        (
            "providers: {openai: {endpoints: {blue: {base_url: 'http://a/v1'}}}}",
            "providers.openai.endpoints.blue: api_key must be set",
        ),
        (
            "providers: {openai: {endpoints: {blue: {api_key: k, base_url: nowhere}}}}",
            "providers.openai.endpoints.blue.base_url: not a URL; write it like https://api.example.com/v1",
        ),
        (
            "providers: {openai: {endpoints: {blue: {api_key: 'a b'}}}}",
            "providers.openai.endpoints.blue.api_key: holds a space, a line break or a character that keys do not have",
        ),
        (
            "providers: {groq: {endpoints: {blue: {api_kye: k}}}}",
            "providers.groq.endpoints.blue.api_kye: unknown key; did you mean providers.groq.endpoints.blue.api_key?",
        ),
        ("models: {fast: {targets: [gpt]}}", "models.fast.targets[0]: expected PROVIDER/MODEL, got 'gpt'"),
        (
            "models: {fast: {targets: [openai/a, {provider: openai}]}}",
            "models.fast.targets[1]: model must be set",
        ),
        (
            "models: {fast: {targets: [openai/a, opnai/b]}}",
            "models.fast.targets[1].provider: opnai is no provider; did you mean openai?",
        ),
        ("models: {fast: {targets: []}}", "models.fast: provider and model must be set"),
        (
            "models: {fast: {provider: openai, model: a, targets: [openai/b]}}",
            "models.fast: write either provider and model, or targets",
        ),
        (
            "models: {fast: {provider: openai, model: a, endpoint: blue}}",
            "models.fast.endpoint: openai has no credential called blue; none of its credentials has a name",
        ),
        (
            "{providers: {openai: {endpoints: {blue: {api_key: k}}}}, "
            "models: {fast: {targets: [{provider: openai, model: a, endpoint: bleu}]}}}",
            "models.fast.targets[0].endpoint: openai has no credential called bleu; did you mean blue?",
        ),
        (
            "media: {allow_private: [10.0.0.0/8, intranet]}",
            "media.allow_private[1]: expected a network such as 10.1.0.0/16, got 'intranet'",
        ),
        ("media: {ports: [0]}", "media.ports[0]: expected int >= 1"),
    ],
)
def test_faults_name_the_key_and_what_to_write(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text)

    assert str(caught.value).replace(f"{tmp_path}/isthmus.yaml: ", "") == complaint


def test_a_model_may_have_several_targets(tmp_path: Path) -> None:
    text = (
        "providers: {anthropic: {endpoints: {blue: {api_key: k}}}}\n"
        "models: {fast: {targets: [openai/a, {provider: anthropic, model: b, endpoint: blue}]}}"
    )

    assert loaded(tmp_path, text).models["fast"].wanted == (
        ModelTarget(provider="openai", model="a"),
        ModelTarget(provider="anthropic", model="b", endpoint="blue"),
    )


def test_written_credentials_keep_a_key_of_the_environment_out(tmp_path: Path) -> None:
    text = 'providers: {openai: {endpoints: {blue: {api_key: "${OPENAI_API_KEY}"}, green: {api_key: file:key}}}}'
    (tmp_path / "key").write_text("sk-green\n")

    options = loaded(tmp_path, text, {"OPENAI_API_KEY": "sk-env"}).providers["openai"]

    assert options.api_key is None
    assert {name: endpoint.api_key for name, endpoint in options.endpoints.items()} == {
        "blue": "sk-env",
        "green": "sk-green",
    }


def test_media_is_fetched_unless_it_is_turned_off(tmp_path: Path) -> None:
    text = "media: {max_bytes: 5, timeout_s: 2, max_per_request: 3, ports: [443], allow_private: [10.1.0.0/16]}"
    settings = loaded(tmp_path, text)

    assert settings.media is not None
    assert (settings.media.timeout_s, settings.media.ports) == (2, {443})
    assert [str(network) for network in settings.media.allow_private] == ["10.1.0.0/16"]
    assert (settings.pipeline.media_bytes, settings.pipeline.media_per_request) == (5, 3)
    assert loaded(tmp_path, environ={"ISTHMUS_MEDIA_FETCH": "false"}).media is None
