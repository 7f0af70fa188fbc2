"""The command line; `main` is its entry point. Nothing else lives here."""

from isthmusd.cli.app import main as main
