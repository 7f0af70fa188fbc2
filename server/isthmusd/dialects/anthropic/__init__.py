"""The `anthropic` dialect: Anthropic's Messages API, as providers speak it to us. Nobody speaks it to the gateway."""

from __future__ import annotations

from isthmusd.dialects.anthropic.halves import CALLED

__all__ = ["CALLED"]
