"""Tenants' own calls: every path below their prefix, with the tenant's own key. How it is carried is `carrying.py`'s;
how its errors are written is `rpc/`'s."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

from isthmusd.core.call import Call
from isthmusd.core.errors import GatewayError, PermissionDenied, UpstreamError
from isthmusd.core.paths import TENANT_PROVIDER, tenant_path
from isthmusd.core.request import Arrival
from isthmusd.core.routing import Target
from isthmusd.core.tenants import ForwardGrant
from isthmusd.pipeline.body_model import named_model
from isthmusd.pipeline.bound import refuse_models_of_path
from isthmusd.pipeline.carrying import Forwarded, Load, begun, carried, identified
from isthmusd.pipeline.record import recording
from isthmusd.pipeline.resolve import NO_OWN_KEY
from isthmusd.pipeline.run import Gateway

NO_TENANT = "tenant_not_found"
FAILED = 500
"""What existing clients of these paths get for all that is neither their fault nor the provider's answer."""


@asynccontextmanager
async def tenant_forward(gateway: Gateway, arrival: Arrival, pieces: AsyncIterator[bytes]) -> AsyncGenerator[Forwarded]:
    """Carry one call. Raises GatewayError before the answer is given."""
    async with recording(gateway.journal, gateway.clock, arrival) as draft:
        with _with_status(), gateway.admission.admitted() as place:
            call = await identified(gateway, arrival, draft, place)
            if call.principal.grants.forward is ForwardGrant.NONE:
                raise PermissionDenied("your key does not allow to forward calls", code="forward_not_allowed")
            target = _target(gateway, call)
            path = tenant_path(arrival.path)
            refuse_models_of_path(call.principal, path)
            upload = await begun(gateway, draft, pieces)
            found = named_model(arrival.headers, upload, call.principal)
            if found is not None:
                draft.model = found[0]
                call.principal.grants.refuse_model(found[0])
            load = Load(call=call, arrival=arrival, target=target, path=path, upload=upload, prefix=upload.prefix)
            async with carried(gateway, load, draft) as forwarded:
                yield forwarded


def _target(gateway: Gateway, call: Call) -> Target:
    target = gateway.resolver.resolve_own(call, TENANT_PROVIDER)
    return replace(target, provider=replace(target.provider, base_url=gateway.options.tenant_forward_url))


@contextmanager
def _with_status() -> Generator[None]:
    """Give errors the status that these paths have for them, so that the record shows it too."""
    try:
        yield
    except GatewayError as error:
        if isinstance(error, UpstreamError) or error.code in {NO_TENANT, NO_OWN_KEY}:
            error.http_status = FAILED
        raise
