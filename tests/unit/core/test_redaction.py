"""Secrets, hosts and accounts are taken out of what targets say."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from isthmusd.core.errors import Bug, Rejected, Told
from isthmusd.core.profile import Provider
from isthmusd.core.redaction import REDACTED, Redaction
from isthmusd.core.routing import Target
from isthmusd.core.signing import AwsSigning, EntraSigning, GoogleSigning, Signing

SECRET = "no+known/form of a key"
BASE = "http://10.1.2.3:8000/v1"
HIDDEN = f"key {REDACTED} is bad"


def target(secret: str | None = SECRET, signing: Signing | None = None, owner: str | None = None) -> Target:
    provider = Provider(name="box", base_url=BASE, signing=signing)
    return Target(provider=provider, model="m", secret=secret, owner=owner)


def shown(text: str, of: Target) -> str:
    error = Rejected(text)
    Redaction(of).error(error)
    assert str(error) == error.message
    return error.message


@pytest.mark.parametrize("form", [SECRET, quote(SECRET, safe="")])
def test_r12_a_secret_is_hidden_wherever_an_error_repeats_it(form: str) -> None:
    text = f"key {form} is bad"
    told = Told(status=400, type=text, request_id=text, detail=text)
    error = Rejected(text, code=text, param=text, told=told)

    Redaction(target()).error(error)

    assert (error.message, error.type, error.code, error.param) == (HIDDEN, HIDDEN, HIDDEN, HIDDEN)
    assert error.told == Told(status=400, type=HIDDEN, request_id=HIDDEN, detail=HIDDEN)


def test_what_is_not_said_stays_unsaid() -> None:
    error = Rejected("no", told=Told(status=404))

    Redaction(target()).error(error)

    assert (error.message, error.param, error.told) == ("no", None, Told(status=404))


@pytest.mark.parametrize("size", [6, 12, len(SECRET) - 1])
def test_a_text_that_was_cut_within_a_secret_shows_nothing_of_it(size: int) -> None:
    assert shown(f"key {SECRET[:size]}", target()) == f"key {REDACTED}"


@pytest.mark.parametrize(
    "signing",
    [
        AwsSigning(region="eu-north-1", secret_access_key=SECRET),
        AwsSigning(region="eu-north-1", session_token=SECRET),
        EntraSigning(tenant_id="t", client_id="c", client_secret=SECRET),
    ],
)
def test_what_signs_is_a_secret_too(signing: Signing) -> None:
    assert shown(f"key {SECRET} is bad", target(None, signing)) == HIDDEN


def test_short_words_are_no_secrets() -> None:
    assert shown("none of this works", target("none", GoogleSigning())) == "none of this works"


def test_r12_callers_learn_no_host() -> None:
    assert shown(f"{BASE}/chat is down", target()) == f"http://{REDACTED}/v1/chat is down"
    assert shown("10.1.2.3:8000 is down", target()) == f"{REDACTED} is down"
    assert shown("10.1.2.3:80001 is down", target()) == "10.1.2.3:80001 is down"


def test_r12_a_host_whose_name_is_a_word_is_hidden_in_its_url_only() -> None:
    named = Target(provider=Provider(name="box", base_url="http://model/v1"), model="m")

    assert shown("the model at http://model/v1 is down", named) == f"the model at http://{REDACTED}/v1 is down"


def test_r12_a_shared_account_is_not_named() -> None:
    said = "Rate limit reached in organization org-AbCdEfGh1234 and proj_AbCdEfGh1234"

    assert shown(said, target()) == f"Rate limit reached in organization {REDACTED} and {REDACTED}"
    assert shown(said, target(owner="acme")) == said


def test_the_operator_may_read_hosts() -> None:
    error = Rejected("no", told=Told(detail=BASE))

    Redaction(target()).error(error)

    assert error.told.detail == BASE


def test_a_host_without_an_address_hides_nothing() -> None:
    demo = Target(provider=Provider(name="demo", base_url="demo:/v1"), model="echo")

    assert shown("as it is", demo) == "as it is"


def test_headers_that_repeat_a_secret_are_cleaned() -> None:
    plain = {"x-request-id": ["r"]}
    bad = {"openai-debug": [f"key {SECRET} is bad", "fine"], **plain}

    assert Redaction(target()).headers(plain) is plain
    assert Redaction(target()).headers(bad) == {"openai-debug": [HIDDEN, "fine"], **plain}


def test_without_a_target_nothing_changes() -> None:
    error, headers = Rejected(SECRET), {"x": [SECRET]}

    Redaction().error(error)

    assert error.message == SECRET
    assert Redaction().headers(headers) is headers


def test_failures_of_the_gateway_itself_stay() -> None:
    error = Bug(SECRET)

    Redaction(target()).error(error)

    assert error.message == SECRET
