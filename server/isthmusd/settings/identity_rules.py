"""What the operator may say of identity providers and of the verifier, and what he should know. What is made of it is
`identity.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from isthmusd.core.issuers import ASYMMETRIC, KEY_PREFIX, VERIFIER
from isthmusd.edge.errors import InvalidAddress
from isthmusd.edge.options import Address
from isthmusd.settings.identity import named, options_of
from isthmusd.settings.tree import Auth, IdentityIssuer, Tree, Verifier
from isthmusd.upstream.options import IssuerOptions

PROJECT = re.compile(r"[a-z][a-z0-9.:-]*")
ISSUER = re.compile(r"[\x21-\x7b\x7d\x7e]+")
"""Printable, no white space; no `|`, which separates issuers from subjects in records."""


def faults(tree: Tree) -> Iterator[str | None]:
    """Give what must not be so."""
    seen: dict[str, str] = {}
    for path, written in named(tree.auth):
        yield from _issuer_faults(path, written)
        issuer = options_of(written).rules.issuer
        if issuer in seen:
            yield f"{path}: its tokens have the same issuer as those of {seen[issuer]}: {issuer}"
        if issuer in {tree.auth.name, VERIFIER}:
            yield f"{path}: {issuer} is the issuer of this gateway's own callers; no identity provider can have it"
        seen[issuer] = path
    if tree.auth.verifier is not None:
        yield from _verifier_faults("auth.verifier", tree.auth.verifier)


def warnings(tree: Tree) -> Iterator[str]:
    """Give what the operator should know."""
    for path, url in _addresses(tree.auth):
        if url.scheme == "http" and not _is_loopback(url.hostname or ""):
            yield f"{path}: {url.geturl()} has no TLS: whoever is on the way there can make keys, and so tokens"
    verifier = tree.auth.verifier
    if verifier is not None and not _is_near(verifier.address):
        yield f"auth.verifier.address: callers' tokens go to {verifier.address} in the clear"


def _issuer_faults(path: str, written: IdentityIssuer) -> Iterator[str | None]:
    project = written.firebase_project
    if project is not None and not PROJECT.fullmatch(project):
        yield f"{path}: expected the id of a Google Cloud project, got {project!r}"
    missing = [name for name in ("issuer", "audience") if not getattr(written, name)]
    if project is None and missing:
        yield f"{path}: {' and '.join(missing)} must be set, or firebase_project"
    options = options_of(written)
    if not ISSUER.fullmatch(options.rules.issuer):
        yield f"{path}.issuer: expected a URL without spaces and '|', got {options.rules.issuer!r}"
    if not all(options.rules.audiences):
        yield f"{path}.audience: an audience must not be empty"
    yield _algorithm_fault(f"{path}.algorithms", written.algorithms)
    for claim in written.tenant_claims:
        if not claim or ("://" not in claim and not all(claim.split("."))):
            yield f"{path}.tenant_claims: expected the path of a claim such as firebase.tenant, got {claim!r}"
    yield _address_fault(path, options)


def _algorithm_fault(path: str, algorithms: tuple[str, ...]) -> str | None:
    unknown = [name for name in algorithms if name not in ASYMMETRIC]
    if algorithms and not unknown:
        return None
    what = f"{unknown[0]!r} is no signature that only the provider can make" if unknown else "one must be there"
    return f"{path}: {what}; choose from {', '.join(ASYMMETRIC)}"


def _address_fault(path: str, options: IssuerOptions) -> str | None:
    """Tell what is wrong with the place of an issuer's keys."""
    if options.jwks_url is None:
        url = _url(options.rules.issuer)
        if url is None or url.query or url.fragment:
            return f"{path}: jwks_url must be set, for the issuer is no URL below which a discovery document can be"
        return None
    return None if _url(options.jwks_url) is not None else f"{path}.jwks_url: expected an https URL"


def _verifier_faults(path: str, verifier: Verifier) -> Iterator[str | None]:
    yield _listener_fault(f"{path}.address", verifier.address)
    for prefix in verifier.prefixes:
        if not prefix or prefix.startswith(KEY_PREFIX) or KEY_PREFIX.startswith(prefix):
            yield f"{path}.prefixes: {prefix!r} would take in keys of this gateway; be more precise"


def _listener_fault(path: str, address: str) -> str | None:
    if address.startswith("unix:"):
        return (
            None if address.removeprefix("unix:").startswith("/") else f"{path}: expected unix:/path, got {address!r}"
        )
    try:
        port = Address.parse(address).port
    except InvalidAddress as error:
        return f"{path}: {error}"
    return None if port else f"{path}: {address!r} has no port that can be dialled"


def _addresses(auth: Auth) -> Iterator[tuple[str, SplitResult]]:
    for path, written in named(auth):
        options = options_of(written)
        name, text = ("issuer", options.rules.issuer) if options.jwks_url is None else ("jwks_url", options.jwks_url)
        yield f"{path}.{name}", urlsplit(text)


def _url(text: str) -> SplitResult | None:
    """Read an http or https URL without a user name; None if it is none."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        return None
    is_good = url.scheme in {"http", "https"} and host and "@" not in url.netloc and text.isprintable()
    return url if is_good and " " not in text else None


def _is_near(address: str) -> bool:
    return address.startswith("unix:") or Address.parse(address).is_loopback


def _is_loopback(host: str) -> bool:
    return Address(host=host, port=0).is_loopback
