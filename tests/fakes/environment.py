"""The environment of this process, for libraries that read it by themselves. Our own code gets it as an argument."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager


@contextmanager
def environment(values: Mapping[str, str], *, without: str) -> Iterator[MutableMapping[str, str]]:
    """Set variables, take away all others with a prefix, and put everything back at the end."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(without)]:
        del os.environ[name]
    os.environ.update(values)
    try:
        yield os.environ
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
