"""Lists what a caller may use. It calls no provider: names come from the catalogue and the configuration."""

from __future__ import annotations

from collections.abc import Sequence

from isthmusd.core.errors import InvalidRequest, NotFound, shown
from isthmusd.core.model import Listed
from isthmusd.core.request import Arrival
from isthmusd.pipeline.record import recording
from isthmusd.pipeline.run import Gateway


async def list_models(gateway: Gateway, arrival: Arrival) -> Sequence[Listed]:
    """Give every model that this caller may use."""
    async with recording(gateway.journal, gateway.clock, arrival) as draft:
        call = await gateway.identifier.identify(arrival, draft.meet)
        draft.know(call)
        return tuple(gateway.resolver.models(call.principal))


async def get_model(gateway: Gateway, arrival: Arrival, model: str) -> Listed:
    """Give one model. Raises NotFound, InvalidRequest."""
    async with recording(gateway.journal, gateway.clock, arrival) as draft:
        call = await gateway.identifier.identify(arrival, draft.meet)
        draft.know(call)
        draft.model = model
        if not model:
            raise InvalidRequest("name the model in 'id'", param="id")
        for listed in gateway.resolver.models(call.principal):
            if listed.id == model:
                return listed
        raise NotFound(f"the model '{shown(model)}' does not exist or is not yours to use", code="model_not_found")
