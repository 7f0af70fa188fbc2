"""Health and reflection, which every listener may have. What they speak of is told by the server that has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from isthmusd.rpc.handlers import Methods, methods_of

HEALTH = cast(ServiceDescriptor, health_pb2.DESCRIPTOR.services_by_name["Health"])
UNSERVED = frozenset({"/grpc.health.v1.Health/List"})
"""The library has no more of it than its name."""


class Health:
    """Says of each service whether it is served."""

    def __init__(self, services: Sequence[str]) -> None:
        self._servicer = HealthServicer()
        self._services = ("", *services)

    def methods(self) -> Methods:
        """Give its methods."""
        # Not by their generated registration: for each method registered that way grpcio keeps one more task waiting,
        # and every call of any service waits for all of them anew.
        methods = methods_of(HEALTH, self._servicer)
        return {name: method for name, method in methods.items() if name not in UNSERVED}

    async def say(self, serving: bool) -> None:
        """Tell whoever watches."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in self._services:
            await self._servicer.set(service, status)


def reflection_methods(services: Sequence[str]) -> Methods:
    """Give the methods of reflection on these services, on health and on itself."""
    names = (*services, HEALTH.full_name, reflection.SERVICE_NAME)
    servicer = cast(Any, ReflectionServicer(names, pool=_pool(names)))
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return {f"/{reflection.SERVICE_NAME}/ServerReflectionInfo": handler}


def _pool(services: Iterable[str]) -> DescriptorPool:
    """Gather what these services are made of, and nothing else: the default pool knows all contracts of the process."""
    everything, gathered, seen = descriptor_pool.Default(), DescriptorPool(), set[str]()

    def add(file: FileDescriptor) -> None:
        if file.name not in seen:
            seen.add(file.name)
            for needed in file.dependencies:
                add(needed)
            gathered.AddSerializedFile(file.serialized_pb)

    for service in services:
        add(everything.FindFileContainingSymbol(service))
    return gathered
