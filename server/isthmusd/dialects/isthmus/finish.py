"""Why a choice ended, in our words. The provider's own word travels beside it, so nothing is decided here."""

from __future__ import annotations

from isthmus.v1 import stream_pb2 as pb

_REASONS: dict[str, pb.FinishReason] = {
    "stop": pb.FINISH_REASON_STOP,
    "length": pb.FINISH_REASON_LENGTH,
    "tool_calls": pb.FINISH_REASON_TOOL_CALLS,
    # The legacy form of the same thing; the native word still tells them apart.
    "function_call": pb.FINISH_REASON_TOOL_CALLS,
    "content_filter": pb.FINISH_REASON_CONTENT_FILTER,
    "error": pb.FINISH_REASON_ERROR,
    "cancelled": pb.FINISH_REASON_CANCELLED,
}


def encode_finish(reason: str | None, native: str | None) -> tuple[pb.FinishReason, str]:
    """Give the reason and the provider's own word for it; both are empty where it gave none."""
    if reason is None:
        return pb.FINISH_REASON_UNSPECIFIED, native or ""
    return _REASONS.get(reason, pb.FINISH_REASON_OTHER), native or reason
