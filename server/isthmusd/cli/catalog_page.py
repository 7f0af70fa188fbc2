"""`python -m isthmusd.cli.catalog_page`: print docs/providers.md. What is usable here is `isthmus providers`."""

from __future__ import annotations

import sys

from isthmusd.providers.page import page

if __name__ == "__main__":
    sys.stdout.write(page())
