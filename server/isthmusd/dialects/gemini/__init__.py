"""The `gemini` dialect: Google's generateContent API, as providers speak it to us. Nobody speaks it to the gateway."""

from __future__ import annotations

from isthmusd.dialects.gemini.halves import CALLED

__all__ = ["CALLED"]
