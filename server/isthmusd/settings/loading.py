"""Reads the settings once, at the start: file, then ISTHMUS_* variables, then flags. It opens and starts nothing.

`<PROVIDER>_API_KEY` and `<PROVIDER>_BASE_URL` lie below the file: they are what a provider has unless the file says
otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from isthmusd.settings import rules
from isthmusd.settings.errors import SettingsError
from isthmusd.settings.resolved import Settings
from isthmusd.settings.schema import Raw, build
from isthmusd.settings.sources import from_environ, merge, put, read_file
from isthmusd.settings.tree import Tree


def load(config: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object]) -> Settings:
    """Read, merge and check all sources. Raises SettingsError.

    `overrides` maps dotted paths (`auth.anonymous`) to values; None means that the flag was not given.
    """
    file = _from_file(config, environ)
    variables, warnings = from_environ(Tree, environ)
    flags = _from_flags(overrides)
    raw = merge(merge(file, variables), flags)
    raw = merge(rules.provider_variables(environ, raw.get("providers") or {}), raw)
    # An explicit null means what leaving it out means: the machine's default.
    machine = {name: value for name, value in _defaults(environ).items() if raw.get(name) is None}
    tree: Tree = build(Tree, merge(raw, machine))
    rules.refuse(tree)
    return Settings.compose(tree, (*warnings, *rules.warn(tree, config)))


def _from_file(config: Path | None, environ: Mapping[str, str]) -> Raw:
    """Check the file alone too, so that a complaint can name it."""
    if config is None:
        return {}
    try:
        raw = rules.spell_out_models(read_file(config, environ))
        build(Tree, raw)
    except SettingsError as error:
        raise SettingsError(f"{config}: {error}") from error
    return raw


def _from_flags(overrides: Mapping[str, object]) -> Raw:
    raw: Raw = {}
    for path, value in overrides.items():
        if value is not None:
            put(raw, tuple(path.split(".")), value)
    return rules.spell_out_models(raw)


def _defaults(environ: Mapping[str, str]) -> Raw:
    """Give the defaults that depend on the machine."""
    home = environ.get("HOME") or str(Path.home())
    data_home = environ.get("XDG_DATA_HOME") or str(Path(home) / ".local" / "share")
    return {"data": str(Path(data_home) / "isthmus"), "workers": len(os.sched_getaffinity(0))}
