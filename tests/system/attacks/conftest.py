"""One gateway for all attacks: it must stand them all, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from tests.system.attacks.site import Site, running_site


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("attacked")) as running:
        yield running


@pytest.fixture
def site(attacked: Site) -> Iterator[Site]:
    """The gateway, with nothing scripted by tests before."""
    attacked.provider.reply_always(None)
    yield attacked
    attacked.provider.reply_always(None)


@pytest.fixture(scope="session")
def attacked_channel(attacked: Site) -> Iterator[grpc.Channel]:
    with attacked.pair.channel() as opened:
        yield opened
