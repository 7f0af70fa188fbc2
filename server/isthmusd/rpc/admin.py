"""Runs AdminService: who asks, what is done, what is left behind for the audit. What each method does is in the files
of its subjects: `admin_tenants.py`, `admin_keys.py`, `admin_records.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from isthmus.v1 import admin_pb2

from isthmusd.core.errors import InvalidRequest
from isthmusd.core.request import Operation
from isthmusd.pipeline.ports import Administration
from isthmusd.pipeline.record import Draft, recording
from isthmusd.pipeline.run import Gateway
from isthmusd.rpc.admin_keys import KEYS
from isthmusd.rpc.admin_method import Method
from isthmusd.rpc.admin_records import RECORDS
from isthmusd.rpc.admin_tenants import TENANTS
from isthmusd.rpc.call import Context, Reader
from isthmusd.rpc.handlers import NO_MESSAGE, Behaviour, Methods, full_name, unary_handler
from isthmusd.rpc.typed import answering, request_metadata

SERVICE = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
METHODS: Mapping[str, Method] = {**TENANTS, **KEYS, **RECORDS}
AT_ONCE = 4
"""Methods that run at once. They take threads that callers' own look-ups wait for too."""


class AdminServicer:
    """Implements `isthmus.v1.AdminService`. Each call leaves one record, a refused one too."""

    def __init__(self, gateway: Gateway, administration: Administration) -> None:
        self._gateway = gateway
        self._administration = administration
        self._reader = Reader(edge=False, clock=gateway.clock)
        self._turns = asyncio.Semaphore(AT_ONCE)

    def methods(self) -> Methods:
        """Give the methods to register: one for each method of the contract."""
        return {full_name(method): unary_handler(method, self._behaviour(method)) for method in SERVICE.methods}

    def _behaviour(self, described: MethodDescriptor) -> Behaviour:
        name, method = described.name, METHODS[described.name]

        async def serve(request: Message | None, context: Context) -> Message:
            arrival = self._reader.typed(context, Operation.ADMIN, request)
            async with answering(context, arrival):
                async with recording(self._gateway.journal, self._gateway.clock, arrival) as draft:
                    draft.action = name
                    draft.know(await self._gateway.identifier.identify(arrival, draft.meet))
                    if request is None:
                        raise InvalidRequest(NO_MESSAGE.message)
                    draft.action = method.asked(name, request)
                    answer = await self._done(method, request, draft)
                await context.send_initial_metadata(request_metadata(arrival))
                return answer
            raise AssertionError("answering() ends the call or lets it return")

        return serve

    async def _done(self, method: Method, request: Message, draft: Draft) -> Message:
        """Do what blocks, to its end: a change that its caller did not wait for is made all the same, and its record
        must not be written before that is certain."""
        async with self._turns:
            working = asyncio.ensure_future(asyncio.to_thread(method.do, self._administration, request))
            try:
                # Unlike awaiting it, this leaves it alone when we are cancelled.
                await asyncio.wait((working,))
            except asyncio.CancelledError:
                await asyncio.wait((working,))
                if working.exception() is None:
                    draft.action = f"{draft.action}{method.done(working.result())} (done)"
                raise
        answer = working.result()
        draft.action = f"{draft.action}{method.done(answer)}"
        return answer
