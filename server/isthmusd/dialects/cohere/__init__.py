"""The `cohere` dialect: Cohere's v2 API, as providers speak it to us. Nobody speaks it to the gateway."""

from __future__ import annotations

from isthmusd.core.request import Operation
from isthmusd.dialects.base import Called

CALLED: dict[Operation, Called] = {}

__all__ = ["CALLED"]
