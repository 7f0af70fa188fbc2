"""Every knob of a run: one frozen tree, read once. Each layer has options of its own; this package composes them."""

from isthmusd.settings.errors import SettingsError
from isthmusd.settings.loading import load
from isthmusd.settings.resolved import Settings

__all__ = ["Settings", "SettingsError", "load"]
