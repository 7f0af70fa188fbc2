"""Why a run cannot start or go on. Not the errors of calls: those are `isthmusd.core.errors`.

EdgeError
|- InvalidAddress     a HOST:PORT that is none
|- AddressInUse       another process holds the port; names the flag that moves us
|- MissingFile        envoy.yaml or the descriptor is not where the package has it
`- ChildFailed        a worker or Envoy does not start, or keeps dying
"""

from __future__ import annotations


class EdgeError(Exception):
    """The message is for the operator's terminal: one line, says what to do."""


class InvalidAddress(EdgeError):
    """A listen or admin address cannot be read."""


class AddressInUse(EdgeError):
    """A port is taken, or not ours to bind."""


class MissingFile(EdgeError):
    """A packaged file is absent."""


class ChildFailed(EdgeError):
    """A process that the run needs is gone for good."""
