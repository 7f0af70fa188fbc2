"""The remote images and files of one call: fetched when the first target needs them, once, whatever targets follow.
Which parts of a request those are is `core/media.py`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from isthmusd.core.errors import GatewayError, InvalidRequest, UnsupportedFeature
from isthmusd.core.media import CODE, Fetched, RemotePart, fault
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.ports import MediaFetcher

AT_ONCE = 4
"""Fetches of one call that run at a time."""


@dataclass(slots=True)
class CallMedia:
    """One per call, used from the call's own task."""

    fetcher: MediaFetcher | None
    options: PipelineOptions
    held: dict[str, Fetched] = field(default_factory=dict[str, Fetched])
    """By URL: what was fetched so far."""

    async def fetch(self, parts: Sequence[RemotePart]) -> None:
        """Fetch what is not there yet. Raises InvalidRequest or UnsupportedFeature, naming the part."""
        # One URL may stand in several parts; the first one is named.
        missing = {part.url: part for part in reversed(parts) if part.url not in self.held}
        if not missing:
            return
        fetcher, first = self.fetcher, parts[0]
        if fetcher is None:
            raise UnsupportedFeature(
                f"{first.place}: the provider of this model takes no {first.kind} by URL, and this gateway fetches "
                "none; send its content as base64 instead",
                param=first.place,
            )
        if len(self.held) + len(missing) > self.options.media_per_request:
            raise fault(first.place, first.kind, f"is one of more than {self.options.media_per_request} that are named")
        places = asyncio.Semaphore(AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                for part in missing.values():
                    group.create_task(self._fetch(fetcher, part, places))
        except* GatewayError as errors:
            raise first_of(errors) from None

    async def _fetch(self, fetcher: MediaFetcher, part: RemotePart, places: asyncio.Semaphore) -> None:
        async with places:
            try:
                fetched = await fetcher.fetch(part.url, self.options.media_bytes)
            except InvalidRequest as error:
                raise fault(part.place, part.kind, error.message) from None
        self.held[part.url] = fetched
        # As much as the caller could have sent himself.
        if sum(len(each.content) for each in self.held.values()) > self.options.request_bytes:
            raise InvalidRequest(
                f"{part.place}: what this call names by URL is larger than {self.options.request_bytes} bytes "
                "together; send less in one call",
                param=part.place,
                code=CODE,
            )


def first_of(errors: BaseExceptionGroup[GatewayError]) -> GatewayError:
    """Give the first error of a group of tasks."""
    found = errors.exceptions[0]
    return found if isinstance(found, GatewayError) else first_of(found)
