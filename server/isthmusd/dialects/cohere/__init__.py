"""The `cohere` dialect: Cohere's v2 API, as providers speak it to us. Nobody speaks it to the gateway."""

from isthmusd.dialects.cohere.halves import CALLED

__all__ = ["CALLED"]
