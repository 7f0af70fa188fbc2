"""How commands reach the store, apart from what each does there."""

from __future__ import annotations

from isthmusd.cli.store import every
from isthmusd.core.administration import MAX_LISTED

from tests.unit.cli.commands import Isthmus


def test_all_pages_are_read() -> None:
    names = [f"{number:05}" for number in range(2 * MAX_LISTED + 1)]

    def page(after: str | None) -> list[str]:
        return [name for name in names if after is None or name > after][:MAX_LISTED]

    assert every(page, str) == names
    assert every(lambda _: [], str) == []


def test_place_of_the_data_may_be_an_option(isthmus: Isthmus) -> None:
    elsewhere = str(isthmus.data.with_name("elsewhere"))

    isthmus.does("tenants", "create", "acme", "--data", elsewhere)

    assert isthmus.gives("tenants", "list") == []
    assert [each["id"] for each in isthmus.gives("tenants", "list", "--data", elsewhere)] == ["acme"]


def test_what_a_command_makes_is_told_once(isthmus: Isthmus) -> None:
    first = isthmus.does("tenants", "list").stderr

    assert f"made {isthmus.data}/secret and {isthmus.data}/isthmus.db" in first
    assert "the same --data and store" in first
    assert isthmus.does("tenants", "list").stderr == ""


def test_what_is_not_there_is_told_with_the_store_that_lacks_it(isthmus: Isthmus) -> None:
    isthmus.does("tenants", "list")

    assert f"no tenant of this id (store: {isthmus.data}/isthmus.db)" in isthmus.refuses("tenants", "show", "nobody")


def test_commands_see_what_others_did_to_a_store_that_is_named(isthmus: Isthmus) -> None:
    url = f"sqlite:///{isthmus.data}/named.db"

    isthmus.run("tenants", "create", "acme", environ={"ISTHMUS_STORE_URL": url})
    listed = isthmus.run("tenants", "list", environ={"ISTHMUS_STORE_URL": url})

    assert "acme" in listed.stdout
    assert (isthmus.data / "named.db").exists()
    assert not (isthmus.data / "isthmus.db").exists()


def test_commands_need_no_flag_that_is_for_serving(isthmus: Isthmus) -> None:
    result = isthmus.run("tenants", "list", environ={"ISTHMUS_LISTEN": "0.0.0.0:8080"})

    assert result.exit_code == 0
