"""Loads what reads and writes the store, once, in one thread. Opening the store is `database.py`'s.

Where modules load each other in circles, as SQLAlchemy's do, Python shows a thread a module half loaded rather than let
two threads wait for each other. So nothing here depends on which thread begins with which module.
"""

from __future__ import annotations

from importlib import import_module
from threading import Event, Lock

MODULES = ("changes", "rows", "tenants", "keys", "given", "records")
"""Of this package: all that a process with several threads uses."""
_LOADING = Lock()
_LOADED = Event()


def is_loaded() -> bool:
    """Whether `load` would return at once."""
    return _LOADED.is_set()


def load() -> None:
    """Load everything; who comes second waits. Threads call it before they import anything that loads SQLAlchemy."""
    if not _LOADED.is_set():
        with _LOADING:
            for name in MODULES:
                import_module(f"isthmusd.stores.{name}")
            _LOADED.set()
