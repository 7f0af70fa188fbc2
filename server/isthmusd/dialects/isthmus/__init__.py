"""The `isthmus` dialect: our own protobuf messages to and from the canonical hub. It carries nothing over a network."""

from isthmusd.dialects.isthmus.kept import KEPT
from isthmusd.dialects.isthmus.provenance import name_provider, name_provider_of_stream
from isthmusd.dialects.isthmus.served import SERVED

__all__ = ["KEPT", "SERVED", "name_provider", "name_provider_of_stream"]
