"""The gRPC server of operators: AdminService, health and reflection, and nothing that callers use. Who may dial it is
`edge/`'s."""

from __future__ import annotations

import grpc.aio

from isthmusd.core.authorisation import Listener
from isthmusd.pipeline.ports import Administration
from isthmusd.pipeline.run import Gateway
from isthmusd.rpc.admin import SERVICE, AdminServicer
from isthmusd.rpc.handlers import Declared
from isthmusd.rpc.probes import Health, reflection_methods
from isthmusd.rpc.server import ServerOptions, channel_options

SERVICES = (SERVICE.full_name,)
MESSAGE_BYTES = 1024 * 1024
"""No request of AdminService is long."""
IDLE_MS = 300_000
"""A connection without a call for so long is closed: there are not many for all."""
GRACE_S = 5.0


class AdminServer:
    """A gRPC server on `admin_bind`. `start` once, then `stop` once. Raises Undeclared."""

    def __init__(self, gateway: Gateway, administration: Administration, options: ServerOptions) -> None:
        limits = [*channel_options(MESSAGE_BYTES), ("grpc.max_connection_idle_ms", IDLE_MS)]
        self._server = grpc.aio.server(options=limits)
        self._bind = options.admin_bind or ""
        self._health = Health(SERVICES)
        servicer = AdminServicer(gateway, administration)
        methods = (servicer.methods(), self._health.methods(), reflection_methods(SERVICES))
        self._server.add_generic_rpc_handlers((Declared(Listener.ADMIN, *methods),))

    async def start(self) -> None:
        """Bind and serve."""
        self._server.add_insecure_port(self._bind)
        await self._health.say(serving=True)
        await self._server.start()

    async def stop(self) -> None:
        """Stop taking calls, let those in flight finish."""
        await self._health.say(serving=False)
        await self._server.stop(GRACE_S)
