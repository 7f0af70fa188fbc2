"""Forward: any method and path to the provider that the body's model means, or to the default one. How it is carried is
`carrying.py`'s."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from isthmusd.core.call import Call
from isthmusd.core.errors import PermissionDenied
from isthmusd.core.paths import forward_path
from isthmusd.core.request import Arrival
from isthmusd.core.routing import Target
from isthmusd.core.tenants import ForwardGrant
from isthmusd.framing.prefix import Found
from isthmusd.pipeline.body_model import named_model
from isthmusd.pipeline.bound import refuse_models_of_path
from isthmusd.pipeline.carrying import Forwarded, Load, begun, carried, identified
from isthmusd.pipeline.record import recording
from isthmusd.pipeline.run import Gateway

NOT_ALLOWED = "forward_not_allowed"


@asynccontextmanager
async def forward(gateway: Gateway, arrival: Arrival, pieces: AsyncIterator[bytes]) -> AsyncGenerator[Forwarded]:
    """Carry one call. Raises GatewayError before the answer is given."""
    async with recording(gateway.journal, gateway.clock, arrival) as draft:
        with gateway.admission.admitted() as place:
            call = await identified(gateway, arrival, draft, place)
            if call.principal.grants.forward is ForwardGrant.NONE:
                raise PermissionDenied("your key does not allow Forward", code=NOT_ALLOWED)
            path = forward_path(arrival.method, arrival.path, served_here=arrival.surface == "openai")
            refuse_models_of_path(call.principal, path)
            upload = await begun(gateway, draft, pieces)
            found = named_model(arrival.headers, upload, call.principal)
            draft.model = None if found is None else found[0]
            target = _target(gateway, call, found)
            prefix = _renamed(upload.prefix, found, target.model)
            load = Load(call=call, arrival=arrival, target=target, path=path, upload=upload, prefix=prefix)
            async with carried(gateway, load, draft) as forwarded:
                yield forwarded


def _target(gateway: Gateway, call: Call, found: Found | None) -> Target:
    """Choose the first target whose account the caller may see into: what is stored there has no other owner."""
    resolver = gateway.resolver
    plan = resolver.resolve(call, found[0]) if found and found[0] else resolver.resolve_default(call)
    shared = call.principal.grants.forward is ForwardGrant.SHARED
    target = next((target for target in plan.targets if shared or target.private), None)
    if target is None:
        raise PermissionDenied(
            "your key may use Forward only with credentials of your tenant's own, and it has none of this provider",
            code=NOT_ALLOWED,
        )
    return target


def _renamed(prefix: bytes, found: Found | None, model: str) -> bytes:
    """Write the target's name of the model in place of the caller's."""
    if found is None or found[0] == model:
        return prefix
    start, end = found[1]
    return prefix[:start] + msgspec.json.encode(model) + prefix[end:]
