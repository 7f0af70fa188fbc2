"""`python -m isthmusd.cli`, for where the script is not installed. Not another entry point."""

from isthmusd.cli.app import main

main()
