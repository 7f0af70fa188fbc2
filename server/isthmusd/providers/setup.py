"""What of a host an operator must say: the placeholders of its address, and by which credential its calls are signed.
It knows which environment variables say it, and reads none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import msgspec

from isthmusd.core.profile import Provider
from isthmusd.core.signing import AwsSigning, EntraSigning, GoogleSigning, Signing
from isthmusd.providers.errors import ConfigurationError, nearest

PLACEHOLDER = re.compile(r"\{(\w+)\}")
VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")
MODEL = "model"
"""The placeholder that each call fills."""
REGION = "region"
"""The param that every AWS signature needs."""


class SigningKind(StrEnum):
    """By which credential a host's calls are signed; also the option of a provider that holds it."""

    AWS = "aws"
    GOOGLE = "google"
    ENTRA = "entra"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """Environment variables that say that a credential is there."""

    enough: tuple[str, ...] = ()
    """One of them is enough; the library of that cloud reads the rest."""
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    """Field of the option to its variable; all are needed."""


VARIABLES: Mapping[SigningKind, Variables] = {
    SigningKind.AWS: Variables(
        enough=(
            "AWS_ACCESS_KEY_ID",
            "AWS_PROFILE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        )
    ),
    SigningKind.GOOGLE: Variables(enough=("GOOGLE_APPLICATION_CREDENTIALS", "VERTEX_PROJECT")),
    SigningKind.ENTRA: Variables(
        fields={"tenant_id": "AZURE_TENANT_ID", "client_id": "AZURE_CLIENT_ID", "client_secret": "AZURE_CLIENT_SECRET"}
    ),
}


class Param(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A placeholder of an address."""

    env: tuple[str, ...] = ()
    """Variables that fill it; the first that is set counts."""
    default: str | None = None


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another address where a param is given, or has a certain value (a prefix ending in `*`)."""

    param: str
    value: str = "*"
    base_url: str | None = None
    paths: dict[str, str] = {}

    def holds(self, values: Mapping[str, str]) -> bool:
        """Whether it is this one."""
        given = values.get(self.param)
        if given is None:
            return False
        return given.startswith(self.value[:-1]) if self.value.endswith("*") else given == self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the catalogue says of a host for its operator."""

    base_url: str
    """With placeholders."""
    env: str
    """Beginning of its variables (`OPENAI`)."""
    key_env: tuple[str, ...] = ()
    """Further variables that hold its key, beside `<env>_API_KEY`."""
    params: Mapping[str, Param] = field(default_factory=dict[str, Param])
    cases: tuple[Case, ...] = ()
    """The first that holds counts."""
    signing: SigningKind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsOptions:
    """Credentials of AWS; none: the standard chain (variables, files, role of the machine)."""

    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    """Of the operator's AWS files."""
    role_arn: str | None = None
    """Role to assume with the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleOptions:
    """Credentials of Google; none: application default credentials."""

    service_account: str | None = field(default=None, repr=False)
    """The JSON of a key file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntraOptions:
    """An application of Microsoft Entra. Its tenant, id and secret are all needed."""

    tenant_id: str | None = None
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    authority: str | None = None
    """Where tokens are asked for; sovereign clouds have their own (`https://login.microsoftonline.us`)."""
    scope: str | None = None
    """What tokens are for, in sovereign clouds (`https://cognitiveservices.azure.us/.default`)."""


SigningOptions = AwsOptions | GoogleOptions | EntraOptions


def settle(
    provider: Provider,
    setup: Setup,
    params: Mapping[str, str],
    *,
    base_url: str | None = None,
    signing: SigningOptions | None = None,
) -> Provider:
    """Fill a host's address, say how it is signed and what is missing. Raises ConfigurationError."""
    path = f"providers.{provider.name}"
    values = _values(path, setup, params, signing)
    case = next((case for case in setup.cases if case.holds(values)), None)
    template = base_url or (case and case.base_url) or setup.base_url
    paths = {**provider.paths, **(case.paths if case else {})}
    settled = replace(
        provider,
        base_url=_fill(template, values),
        paths={operation: _fill(text, values) for operation, text in paths.items()},
        signing=_signing(path, signing, values),
    )
    needed = {*_open(settled.base_url), *(name for text in settled.paths.values() for name in _open(text))}
    if isinstance(signing, AwsOptions) and REGION not in values:
        needed.add(REGION)
    return replace(settled, missing=tuple(_ask(path, setup, name) for name in sorted(needed)))


def _values(path: str, setup: Setup, params: Mapping[str, str], signing: SigningOptions | None) -> Mapping[str, str]:
    known = {*setup.params, *([REGION] if isinstance(signing, AwsOptions) else [])}
    values = {name: param.default for name, param in setup.params.items() if param.default is not None}
    for name, text in params.items():
        if name not in known:
            hint = nearest(name, known) if known else "this provider has none."
            raise ConfigurationError(f"{path}.params.{name}: unknown param; {hint}")
        # Consoles show workspaces and resources as URLs, and that is what people paste.
        value = text.strip().removeprefix("https://").rstrip("/").removesuffix(_rest_of_host(setup.base_url, name))
        if not VALUE.fullmatch(value):
            raise ConfigurationError(f"{path}.params.{name}: holds a character that addresses do not have")
        values[name] = value
    return values


def _rest_of_host(base_url: str, name: str) -> str:
    """Give what follows a placeholder in the host: `.openai.azure.com`."""
    _, found, rest = base_url.partition(f"://{{{name}}}")
    return rest.partition("/")[0] if found else ""


def _fill(text: str, values: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def _open(text: str) -> Iterator[str]:
    return (name for name in PLACEHOLDER.findall(text) if name != MODEL)


def _ask(path: str, setup: Setup, name: str) -> str:
    """Say where a missing value belongs."""
    variables = setup.params[name].env if name in setup.params else ()
    return f"{path}.params.{name}" + (f" (or {', '.join(variables)})" if variables else "")


def _signing(path: str, options: SigningOptions | None, values: Mapping[str, str]) -> Signing | None:
    match options:
        case None:
            return None
        case AwsOptions():
            if (options.access_key_id is None) is not (options.secret_access_key is None):
                raise ConfigurationError(f"{path}.aws: access_key_id and secret_access_key belong together")
            return AwsSigning(
                region=values.get(REGION, ""),
                access_key_id=options.access_key_id,
                secret_access_key=options.secret_access_key,
                session_token=options.session_token,
                profile=options.profile,
                role_arn=options.role_arn,
            )
        case GoogleOptions():
            _demand_json(f"{path}.google.service_account", options.service_account)
            return GoogleSigning(service_account=options.service_account)
        case EntraOptions(tenant_id=str(tenant), client_id=str(client), client_secret=str(secret)):
            if options.authority is not None and not options.authority.startswith(("https://", "http://")):
                raise ConfigurationError(
                    f"{path}.entra.authority: not a URL; write it like https://login.microsoftonline.us"
                )
            changed = {"authority": options.authority and options.authority.rstrip("/"), "scope": options.scope}
            signing = EntraSigning(tenant_id=tenant, client_id=client, client_secret=secret)
            return replace(signing, **{name: value for name, value in changed.items() if value})
        case EntraOptions():
            raise ConfigurationError(f"{path}.entra: needs tenant_id, client_id and client_secret")


def _demand_json(path: str, text: str | None) -> None:
    try:
        if text is not None:
            msgspec.json.decode(text, type=dict[str, object])
    except msgspec.DecodeError:
        raise ConfigurationError(f"{path}: not the JSON of a key file; to name the file, write file:PATH") from None
