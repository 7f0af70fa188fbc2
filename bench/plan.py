"""What one lane asks of the load generator, and what it answers. It does not run anything.

These values cross a process border as JSON: the runner writes a `Load` to the generator's stdin and reads a `Result`.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where and what to send."""

    host: str
    port: int
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What the requests of a load ask, beside the text they all have. As it is here no cache answers them."""

    stream: bool = False
    """Of a closed load; one of streams always streams."""
    temperature: float = 0.7
    prompts: int = 1
    """How many there are, in turn; 0: none comes twice, in this load or another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One lane's work."""

    shape: Literal["closed", "paced", "streams"]
    """closed: each connection sends its next request when the answer is there. paced: one request at a time at a fixed
    rate, to every endpoint in turn. streams: each connection runs `rounds` streams."""
    endpoints: list[Endpoint]
    connections: int = 1
    seconds: float = 0
    rate: float = 0
    """Requests per second and endpoint, of a paced load."""
    rounds: int = 0
    ask: Ask = field(default_factory=Ask)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Percentiles in milliseconds."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one endpoint answered."""

    requests: int
    errors: int
    hits: int = 0
    """Answers that said of themselves that they come from Isthmus's cache."""
    seconds: float
    latency: Spread
    """Whole answer, or time to the first chunk of a stream."""
    chunks: int = 0
    chunk_delay: Spread | None = None
    """From the mock's stamp inside the chunk to its arrival; of an answer from a cache that is its age."""


Result = list[Tally]


def spread(samples_ns: list[int]) -> Spread:
    """Return the percentiles of nanosecond samples; zeros when there are none."""
    if not samples_ns:
        return Spread(p50=0, p99=0)
    ordered = sorted(samples_ns)
    return Spread(p50=_at(ordered, 0.50), p99=_at(ordered, 0.99))


def _at(ordered: list[int], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6, 3)
