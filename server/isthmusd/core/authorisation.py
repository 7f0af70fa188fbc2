"""Who may use what: the one table of every RPC and every HTTP route. What is not in it is not served.

What a caller may do beyond this (models, projects, Forward) are his grants. How he is identified is
`pipeline/callers.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from isthmusd.core.call import AuthMethod, Principal
from isthmusd.core.errors import GatewayError, PermissionDenied, Unauthenticated
from isthmusd.core.request import Operation
from isthmusd.core.tenants import Role


class Access(StrEnum):
    """What a caller must be."""

    OPEN = "open"
    """Anybody: nobody is asked who he is."""
    CALLER = "caller"
    """Whoever has a caller's credential; without one, or with a provider's key, where the operator allows that."""
    ISSUER = "issuer"
    """The same, but no temporary credential."""
    TENANT = "tenant"
    """A tenant: neither anonymous nor somebody with a provider's key."""
    ADMIN = "admin"
    """An administrator, on the admin listener."""
    PEER = "peer"
    """A worker of the same node."""
    NOWHERE = "nowhere"
    """In a contract, but not served here."""


class Listener(StrEnum):
    """Where calls arrive."""

    PUBLIC = "public"
    """Envoy's, or a worker's own."""
    ADMIN = "admin"
    """The operators'."""
    PEERS = "peers"
    """A worker's socket for the others of its node, in the run's private directory."""


class Undeclared(Exception):
    """Something would be served that no rule speaks of, or where it must not be. The server does not start."""


OPERATIONS: Mapping[Operation, Access] = {
    Operation.CHAT: Access.CALLER,
    Operation.COMPLETION: Access.CALLER,
    Operation.AUTO: Access.CALLER,
    Operation.EMBEDDING: Access.CALLER,
    Operation.MODERATION: Access.CALLER,
    Operation.RESPONSES: Access.CALLER,
    Operation.MODELS: Access.CALLER,
    Operation.KEYS: Access.OPEN,
    Operation.FORWARD: Access.CALLER,
    Operation.CREDENTIALS: Access.ISSUER,
    Operation.TENANT_FORWARD: Access.TENANT,
    Operation.ADMIN: Access.ADMIN,
}
"""What each operation demands: checked for every call as soon as its caller is known."""

OPENAI = "/isthmus.v1.OpenAIService/"
RPCS: Mapping[str, Access] = {
    "/isthmus.v1.ChatService/CreateChatCompletion": Access.CALLER,
    "/isthmus.v1.ChatService/StreamChatCompletion": Access.CALLER,
    "/isthmus.v1.CompletionService/CreateCompletion": Access.CALLER,
    "/isthmus.v1.CompletionService/StreamCompletion": Access.CALLER,
    "/isthmus.v1.EmbeddingService/CreateEmbedding": Access.CALLER,
    "/isthmus.v1.ForwardService/Forward": Access.CALLER,
    "/isthmus.v1.ModelService/GetModel": Access.CALLER,
    "/isthmus.v1.ModelService/ListModels": Access.CALLER,
    "/isthmus.v1.CredentialService/CreateCredential": Access.ISSUER,
    "/isthmus.v1.CredentialService/GetCredential": Access.ISSUER,
    "/isthmus.v1.CredentialService/ListCredentials": Access.ISSUER,
    "/isthmus.v1.CredentialService/RevokeCredential": Access.ISSUER,
    f"{OPENAI}Auto": Access.CALLER,
    f"{OPENAI}ChatCompletions": Access.CALLER,
    f"{OPENAI}Completions": Access.CALLER,
    f"{OPENAI}Credentials": Access.ISSUER,
    f"{OPENAI}Embeddings": Access.CALLER,
    f"{OPENAI}Forward": Access.CALLER,
    f"{OPENAI}Keys": Access.OPEN,
    f"{OPENAI}Models": Access.CALLER,
    f"{OPENAI}Moderations": Access.CALLER,
    f"{OPENAI}Responses": Access.CALLER,
    "/isthmus.v1.AdminService/CreateKey": Access.ADMIN,
    "/isthmus.v1.AdminService/CreateTenant": Access.ADMIN,
    "/isthmus.v1.AdminService/GetIssuedCredential": Access.ADMIN,
    "/isthmus.v1.AdminService/GetKey": Access.ADMIN,
    "/isthmus.v1.AdminService/GetTenant": Access.ADMIN,
    "/isthmus.v1.AdminService/ListIssuedCredentials": Access.ADMIN,
    "/isthmus.v1.AdminService/ListKeys": Access.ADMIN,
    "/isthmus.v1.AdminService/ListProjects": Access.ADMIN,
    "/isthmus.v1.AdminService/ListProviderKeys": Access.ADMIN,
    "/isthmus.v1.AdminService/ListRecords": Access.ADMIN,
    "/isthmus.v1.AdminService/ListSubjects": Access.ADMIN,
    "/isthmus.v1.AdminService/ListTenants": Access.ADMIN,
    "/isthmus.v1.AdminService/RemoveProject": Access.ADMIN,
    "/isthmus.v1.AdminService/RemoveProviderKey": Access.ADMIN,
    "/isthmus.v1.AdminService/RemoveSubject": Access.ADMIN,
    "/isthmus.v1.AdminService/ResealTenant": Access.ADMIN,
    "/isthmus.v1.AdminService/RestoreTenant": Access.ADMIN,
    "/isthmus.v1.AdminService/RevokeIssuedCredential": Access.ADMIN,
    "/isthmus.v1.AdminService/RevokeKey": Access.ADMIN,
    "/isthmus.v1.AdminService/RevokeTenant": Access.ADMIN,
    "/isthmus.v1.AdminService/RotateKey": Access.ADMIN,
    "/isthmus.v1.AdminService/SetProject": Access.ADMIN,
    "/isthmus.v1.AdminService/SetProviderKey": Access.ADMIN,
    "/isthmus.v1.AdminService/SetSubject": Access.ADMIN,
    "/isthmus.v1.AdminService/UpdateTenant": Access.ADMIN,
    "/isthmus.v1.FlightsService/Join": Access.PEER,
    "/isthmus.v1.FlightsService/Renew": Access.PEER,
    "/isthmus.v1.FlightsService/Settle": Access.PEER,
    # Operators serve it, and the gateway calls it.
    "/isthmus.v1.TokenVerifier/VerifyToken": Access.NOWHERE,
    "/grpc.health.v1.Health/Check": Access.OPEN,
    "/grpc.health.v1.Health/List": Access.NOWHERE,
    "/grpc.health.v1.Health/Watch": Access.OPEN,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Access.OPEN,
}
"""Every RPC. Reflection is served where the operator wants it: `grpc.reflection`."""

ANY = "*"
"""Every method."""
FORWARDED = ("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS")
MODEL_ROUTES: Mapping[str, Access] = {
    "auto": Access.CALLER,
    "chat/completions": Access.CALLER,
    "completions": Access.CALLER,
    "credentials": Access.ISSUER,
    "embeddings": Access.CALLER,
    "moderations": Access.CALLER,
    "responses": Access.CALLER,
}
MODELS_ROUTE = r"/isthmus\.v1\.OpenAIService/(Auto|ChatCompletions|Completions|Embeddings|Moderations|Responses)"
TYPED_ROUTE = r"/(isthmus\.v1|grpc\.(health|reflection))\..*"
JSON_ROUTE = "/(v1|api/openai)(/.*)?"

ROUTES: Mapping[tuple[str, str], Access] = {
    **{("POST", f"/v1/{path}"): access for path, access in MODEL_ROUTES.items()},
    **{("POST", f"/v1/proxy/{path}"): access for path, access in MODEL_ROUTES.items()},
    ("GET", "/v1/models"): Access.CALLER,
    ("GET", "/v1/models/**"): Access.CALLER,
    ("GET", "/v1/proxy/models"): Access.CALLER,
    ("GET", "/v1/proxy/models/**"): Access.CALLER,
    **{(method, "/.well-known/jwks.json"): Access.OPEN for method in ("GET", "HEAD", "OPTIONS")},
    **{(method, "/v1/**"): Access.CALLER for method in FORWARDED},
    **{(method, "/api/openai"): Access.TENANT for method in FORWARDED},
    **{(method, "/api/openai/**"): Access.TENANT for method in FORWARDED},
}
"""Every HTTP binding of the contract: method and path template."""

EDGE_ROUTES: Mapping[str, Access] = {
    "/healthz/?": Access.OPEN,
    r"/readyz(\?.*)?": Access.OPEN,
    r"/isthmus\.v1\.(AdminService|FlightsService|TokenVerifier)/.*": Access.NOWHERE,
    r"/\.well-known/jwks\.json/?": Access.OPEN,
    OPENAI: Access.CALLER,
    MODELS_ROUTE: Access.CALLER,
    TYPED_ROUTE: Access.CALLER,
    JSON_ROUTE: Access.CALLER,
    "/v1(/.*)?": Access.CALLER,
    "/api/openai(/.*)?": Access.TENANT,
    "/": Access.NOWHERE,
}
"""Every path that envoy.yaml knows. Where one leads to the server, the RPC's own rule holds; what Envoy
answers by itself shows nothing but that it is there."""

ADMIN_ROUTES: Mapping[tuple[str, str], Access] = {
    ("GET", "/healthz"): Access.OPEN,
    ("GET", "/metrics"): Access.OPEN,
}
"""Every HTTP route of the admin listener; `HEAD` goes with `GET`."""

_SERVED: Mapping[Listener, frozenset[Access]] = {
    Listener.PUBLIC: frozenset({Access.OPEN, Access.CALLER, Access.ISSUER, Access.TENANT}),
    Listener.ADMIN: frozenset({Access.OPEN, Access.ADMIN}),
    Listener.PEERS: frozenset({Access.PEER}),
}


def demand_rpc_rules(names: Iterable[str], listener: Listener) -> None:
    """Look up every RPC that a listener is about to serve. Raises Undeclared: what has no rule here is not served."""
    _demand({name: RPCS.get(name) for name in names}, listener)


def demand_route_rules(routes: Iterable[tuple[str, str]]) -> None:
    """Look up every HTTP route of the admin listener. Raises Undeclared."""
    _demand({f"{method} {path}": ADMIN_ROUTES.get((method, path)) for method, path in routes}, Listener.ADMIN)


def _demand(found: Mapping[str, Access | None], listener: Listener) -> None:
    wrong = sorted(name for name, access in found.items() if access not in _SERVED[listener])
    if wrong:
        raise Undeclared(
            f"core/authorisation.py has no rule that lets the {listener} listener serve {', '.join(wrong)}"
        )


def refusal(operation: Operation, principal: Principal) -> GatewayError | None:
    """Tell why a caller may not use an operation at all; None if he may."""
    match OPERATIONS[operation]:
        case Access.OPEN:
            return None
        case Access.ADMIN:
            return _not_an_administrator(principal)
        case _ if principal.role != Role.CALLER:
            # An administrator's key would be carried to too many places; of another role nothing is known.
            return PermissionDenied(
                "this key administers the gateway; use a caller's key here", code="role_not_allowed"
            )
        case Access.TENANT if principal.owner is None:
            return Unauthenticated("this needs a credential of one of the gateway's tenants")
        case Access.ISSUER if principal.method == AuthMethod.TEMPORARY_CREDENTIAL:
            return PermissionDenied(
                "a temporary credential can issue no other, nor manage any", code="issuer_not_allowed"
            )
        case _:
            return None


def _not_an_administrator(principal: Principal) -> GatewayError | None:
    match principal:
        case Principal(role=Role.ADMIN, method=AuthMethod.GATEWAY_KEY):
            return None
        case Principal(method=AuthMethod.ANONYMOUS):
            return Unauthenticated("send a key that administers the gateway: 'Authorization: Bearer <key>'")
        case _:
            return PermissionDenied("this needs a key that administers the gateway", code="role_not_allowed")
