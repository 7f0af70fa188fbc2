"""The `bedrock` dialect: AWS Bedrock's Converse API, as providers speak it to us. Nobody speaks it to the gateway."""

from __future__ import annotations

from isthmusd.dialects.bedrock.halves import CALLED

__all__ = ["CALLED"]
