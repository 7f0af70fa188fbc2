"""The catalogue as a page for readers: `docs/providers.md`. It says nothing that the catalogue's files do not say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from isthmusd.core.profile import Provider
from isthmusd.providers.capabilities import AS_DATA, BY_CHAT, BY_TOOL, NO, SENT, YES, Capability, cells
from isthmusd.providers.catalog_file import Catalog, Host, Profiles, Quirk, packaged
from isthmusd.providers.setup import VARIABLES, Setup

REGENERATE = "make docs"
"""How the page is written again; for the page itself, and for the test that finds it old."""

_HEAD = f"""\
# Providers

Written by `{REGENERATE}` from `catalog.toml` and `profiles.toml` in `server/isthmusd/providers`.
`isthmus providers` tells what is usable with your settings.

What stands in the second column makes a provider usable: variables of the environment, or the same in the settings
([configuration](configuration.md)). A server of your own that speaks OpenAI's format needs no entry here, only its
`base_url`.

| Provider | Set | Speaks | Address | |
|---|---|---|---|---|
"""

_CAPABILITIES = f"""
## What each can do

What arrives at a host when you ask for it, not what each of its models makes of it. `{YES}`: written in the host's own
format. `{SENT}`: it goes as it came, and the host's documentation says whether it is known there. `{NO}`: it does not
arrive, which is a [loss](losses.md), or the call is refused. `{AS_DATA}`: the gateway fetches the URL. `{BY_CHAT}`: a
completion is asked as a chat. `{BY_TOOL}`: the schema becomes a tool that the model must call. Thinking is asked for in
tokens, or in words for effort; whichever you write is translated. Bedrock's rows are those of Claude: other makers'
models differ in thinking, in knobs and in the choice of tools.

"""

_DIFFERENCES = """
## Differences

What the gateway does for these hosts without being asked. What is left out of a request is told in `x-isthmus-losses`,
unless it says only what is so without it. Each difference links to where it is documented or shown.
"""

_PROFILES = """
## Profiles

For hosts of your own: `providers: {mine: {base_url: ..., profiles: [litellm]}}`.
"""


def page(catalog: Catalog | None = None) -> str:
    """Write the page."""
    catalog = catalog or packaged()
    rows = [_row(name, host, catalog.setups[name]) for name, host in catalog.hosts.items()]
    hosts = [line for name, host in catalog.hosts.items() for line in _host(name, host, catalog.profiles)]
    profiles = [line for name, quirks in catalog.profiles.items() for line in _section(f"`{name}`", quirks)]
    return "".join((_HEAD, *rows, _CAPABILITIES, *_capabilities(catalog), _DIFFERENCES, *hosts, _PROFILES, *profiles))


def _row(name: str, host: Host, setup: Setup) -> str:
    cells = (f"`{name}`", _needs(host, setup), host.dialect, f"`{host.base_url}`", f"[docs]({host.docs})")
    return f"| {' | '.join(cells)} |\n"


def _capabilities(catalog: Catalog) -> Iterator[str]:
    """Write a row for each host, and one for each group of its models that can do other things."""
    yield f"| | {' | '.join(Capability)} |\n"
    yield f"|---{'|---' * len(Capability)}|\n"
    for name, host in catalog.providers.items():
        yield _abilities(f"**{name}**", host)
        for models, variant in differing(host).items():
            yield _abilities(f"{name} {', '.join(f'`{model}`' for model in models)}", variant)


def differing(host: Provider) -> Mapping[tuple[str, ...], Provider]:
    """Give the host as it is for models that can do other things than its others, by the patterns of their names."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for model, variant in host.variants.items():
        groups.setdefault(tuple(cells(variant).values()), []).append(model)
    usual = tuple(cells(host).values())
    return {tuple(models): host.variants[models[0]] for found, models in groups.items() if found != usual}


def _abilities(title: str, host: Provider) -> str:
    return f"| {' | '.join((title, *cells(host).values()))} |\n"


def _needs(host: Host, setup: Setup) -> str:
    if not host.needs_key:
        return "nothing"
    keys = (f"{setup.env}_API_KEY", *setup.key_env)
    ways = [" or ".join(f"`{key}`" for key in keys)]
    if setup.signing is not None:
        variables = VARIABLES[setup.signing]
        ways.append("or " + " / ".join(f"`{name}`" for name in (*variables.enough[:2], *variables.fields.values())))
    credential = " ".join(ways)
    params = [f"`{param.env[0]}`" for param in setup.params.values() if param.env and param.default is None]
    return ", ".join([credential, *(param for param in params if param not in credential)])


def _host(name: str, host: Host, known: Profiles) -> Iterator[str]:
    sections = [("", tuple(_named(host.profiles, known)) + host.quirks)]
    for variant in host.variants:
        models = ", ".join(f"`{model}`" for model in variant.models)
        sections.append((f" ({models})", tuple(_named(variant.profiles, known)) + variant.quirks))
    for models, quirks in sections:
        yield from _section(f"**{name}**{models}", quirks)


def _named(names: Iterable[str], known: Profiles) -> Iterator[Quirk]:
    for name in names:
        yield from known[name]


def _section(title: str, quirks: Iterable[Quirk]) -> Iterator[str]:
    told = [f"{_TOLD.get(quirk.field, _plain(quirk.field))(quirk.value)} ([shown]({quirk.link}))" for quirk in quirks]
    if told:
        yield f"\n- {title}: {'; '.join(told)}\n"


def _plain(field: str) -> Callable[[Any], str]:
    return lambda value: f"{field.replace('_', ' ')}: {_code(value)}"


def _code(value: Any) -> str:
    match value:
        case list():
            items = cast("list[object]", value)
            return ", ".join(f"`{item}`" for item in items) or "none"
        case _:
            return f"`{value}`"


def _renames(value: Mapping[str, str]) -> str:
    return ", ".join(f"`{ours}` is sent as `{theirs}`" for ours, theirs in value.items())


_TOLD: Mapping[str, Callable[[Any], str]] = {
    "renames": _renames,
    "refuses": lambda value: f"{_code(value)} left out",
    "accepts_stream_options": lambda _: "`stream_options` left out",
    "stream_ends_with_done": lambda _: "a stream may end without `[DONE]`",
    "accepts_developer_role": lambda _: "`developer` messages are sent as `system`",
    "accepts_message_names": lambda _: "`name` of messages left out",
    "accepts_reasoning_object": lambda _: "takes a `reasoning` object",
    "structured_output": lambda _: "JSON schemas by a tool that must be called",
    "fetches": lambda value: f"URLs that it reads itself: {_code(value)}; others are sent as data",
    "earlier_thinking": lambda value: f"thinking of earlier turns: {_code(value)}",
    "thinking": lambda value: f"told to think by: {_code(value)}",
}
"""Field of a profile to what its value means for a reader; other fields are told by their names."""
