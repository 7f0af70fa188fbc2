"""What writing a request leaves behind beside its body: losses and beta headers. It writes nothing itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from isthmusd.core.chat import Extra
from isthmusd.core.request import Loss

EMPTY = frozenset({"null", "[]", "{}"})
"""JSON that says nothing: clients send an answer's empty members back in the next turn."""


@dataclass(slots=True)
class Notes:
    """Filled while one request is written."""

    losses: list[Loss] = field(default_factory=list[Loss])
    betas: dict[str, None] = field(default_factory=dict[str, None])
    """Names for the `anthropic-beta` header, in the order in which they were needed."""

    def lose(self, path: str, reason: str) -> None:
        """Note that a field does not arrive."""
        self.losses.append(Loss(field=path, reason=reason))

    def need(self, beta: str | None) -> None:
        """Note a beta; None: what was written needs none."""
        if beta is not None:
            self.betas[beta] = None

    def carried(self, extra: Extra, known: Iterable[str], path: str, reason: str) -> Extra:
        """Give the members that Anthropic knows at this place by the same name; each of the others becomes a loss."""
        names = frozenset(known)
        said = [(name, text) for name, text in extra if text not in EMPTY]
        for name, _ in said:
            if name not in names:
                self.lose(f"{path}.{name}" if path else name, reason)
        return tuple((name, text) for name, text in said if name in names)


NO_SUCH_FIELD = "Anthropic has no such field"
