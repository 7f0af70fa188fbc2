"""Temporary credentials: this gateway issues none. The refusal leaves a record like any other call."""

from __future__ import annotations

from typing import NoReturn

from isthmusd.core.errors import UnsupportedFeature
from isthmusd.core.request import Arrival
from isthmusd.pipeline.record import recording
from isthmusd.pipeline.run import Gateway


async def refuse_credentials(gateway: Gateway, arrival: Arrival) -> NoReturn:
    """Raise UnsupportedFeature, or what is wrong with the caller's own credential."""
    async with recording(gateway.journal, gateway.clock, arrival) as draft:
        draft.know(await gateway.identifier.identify(arrival))
        raise UnsupportedFeature("this gateway issues no temporary credentials", http_status=501)
