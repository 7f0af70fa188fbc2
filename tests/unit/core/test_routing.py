"""Targets and plans never print what they hold in confidence."""

from __future__ import annotations

from isthmusd.core.profile import Provider
from isthmusd.core.routing import Plan, Target

HOST = Provider(name="x", base_url="http://x/v1", api_key="sk-ours")


def test_a_plan_does_not_print_secrets() -> None:
    plan = Plan(targets=(Target(provider=HOST, model="m", secret="sk-theirs", callers_own_key=True),))

    assert "sk-" not in repr(plan)
    assert plan.targets[0].secret == "sk-theirs"


def test_a_target_uses_the_gateways_secret_unless_said_otherwise() -> None:
    assert not Target(provider=HOST, model="m", secret=HOST.api_key).callers_own_key
