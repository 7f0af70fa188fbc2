"""What the official OpenAI SDK for Python builds on top of chats, with providers of other formats behind Envoy: answers
parsed into models, and the streams that it puts together itself, with text, tools and thinking.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pydantic
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.conformance.dialects import Dialect, load_dialects
from tests.fakes.answers import Answer
from tests.fakes.wire_turn import Asked, Block, Problem, Turn
from tests.sdk.conftest import KEY
from tests.system.pair import Pair, closed_port, running_pair

pytestmark = pytest.mark.edge
DIALECTS = load_dialects()
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "How warm is it in Zürich?"}]
FACTS = '{"city":"Zürich","degrees":14}'
SIGNATURE = "EqQBCkYIBRgCKkBz"
THOUGHT = Block(kind="thinking", deltas=("Where is ", "that?"))
SIGNED = Block(kind="thinking", deltas=("Where is ", "that?"), signature=SIGNATURE)
TEXT = Block(kind="text", deltas=("Let me ", "look, ", "wörld 🌍"))
CALLS = (
    Block(kind="call", id="call_1", name="LookUp", deltas=('{"city":', '"Zürich"}')),
    Block(kind="call", id="call_2", name="LookUp", deltas=('{"city":"東', '京"}')),
)
SIGNING = ("anthropic", "bedrock")


class Weather(pydantic.BaseModel):
    """What shall be answered."""

    city: str
    degrees: int


class LookUp(pydantic.BaseModel):
    """What a tool takes."""

    city: str


TOOLS: list[Any] = [openai.pydantic_function_tool(LookUp)]


@pytest.fixture(scope="module")
def dialects() -> Iterator[Pair]:
    dead = f"http://127.0.0.1:{closed_port()}/v1"
    providers = {name: given for dialect in DIALECTS for name, given in dialect.providers(dead).items()}
    with running_pair(providers=providers) as running:
        yield running


@pytest.fixture(params=DIALECTS, ids=lambda dialect: dialect.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return request.param


@pytest.fixture
def sdk(dialects: Pair) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{dialects.url}/v1", api_key=KEY, max_retries=0, timeout=30.0) as client:
        yield client


@pytest.fixture
async def async_sdk(dialects: Pair) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{dialects.url}/v1", api_key=KEY, max_retries=0, timeout=30.0) as client:
        yield client


def model(dialect: Dialect) -> str:
    """Cohere takes thinking of models that think only, which their names tell."""
    return f"{dialect.provider}/{'command-a-reasoning-08-2025' if dialect.name == 'cohere' else 'model-1'}"


def facts(dialect: Dialect, *, stream: bool) -> Answer:
    """The facts as JSON: as text, or where a tool stands for the schema, as its arguments."""
    deltas = (FACTS[:5], FACTS[5:])
    if dialect.forces_tool:
        turn = Turn(blocks=(Block(kind="call", id="call_0", name="Weather", deltas=deltas),), finish="tool_calls")
    else:
        turn = Turn(blocks=(Block(kind="text", deltas=deltas),), usage=USAGE)
    return dialect.wire.stream(turn) if stream else dialect.wire.whole(turn)


def busy_turn(dialect: Dialect) -> Turn:
    thought = SIGNED if dialect.name in SIGNING else THOUGHT
    return Turn(blocks=(thought, TEXT, *CALLS), finish="tool_calls", usage=USAGE)


def last_asked(dialect: Dialect, pair: Pair) -> Asked:
    return dialect.wire.asked(pair.provider.last)


def test_answer_is_parsed_into_a_model(sdk: openai.OpenAI, dialect: Dialect, dialects: Pair) -> None:
    dialects.provider.reply_with(facts(dialect, stream=False))

    answer = sdk.chat.completions.parse(model=model(dialect), messages=ASKED, response_format=Weather)

    assert answer.choices[0].message.parsed == Weather(city="Zürich", degrees=14)
    asked = last_asked(dialect, dialects)
    held = asked.tools["Weather"]["parameters"] if dialect.forces_tool else asked.schema
    assert held is not None
    assert set(held["properties"]) == {"city", "degrees"}


async def test_answer_is_parsed_into_a_model_by_the_async_client(
    async_sdk: openai.AsyncOpenAI, dialect: Dialect, dialects: Pair
) -> None:
    dialects.provider.reply_with(facts(dialect, stream=False))

    answer = await async_sdk.chat.completions.parse(model=model(dialect), messages=ASKED, response_format=Weather)

    assert answer.choices[0].message.parsed == Weather(city="Zürich", degrees=14)


def test_arguments_are_parsed_into_a_model(sdk: openai.OpenAI, dialect: Dialect, dialects: Pair) -> None:
    dialects.provider.reply_with(dialect.wire.whole(Turn(blocks=CALLS, finish="tool_calls", usage=USAGE)))

    answer = sdk.chat.completions.parse(model=model(dialect), messages=ASKED, tools=TOOLS)

    calls = answer.choices[0].message.tool_calls or []
    assert [call.function.parsed_arguments for call in calls] == [LookUp(city="Zürich"), LookUp(city="東京")]


def test_stream_is_parsed_into_a_model(sdk: openai.OpenAI, dialect: Dialect, dialects: Pair) -> None:
    dialects.provider.reply_with(facts(dialect, stream=True))

    with sdk.chat.completions.stream(model=model(dialect), messages=ASKED, response_format=Weather) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()

    assert final.choices[0].message.parsed == Weather(city="Zürich", degrees=14)
    assert "content.done" in kinds


def test_stream_with_text_tools_and_thinking(sdk: openai.OpenAI, dialect: Dialect, dialects: Pair) -> None:
    dialects.provider.reply_with(dialect.wire.stream(busy_turn(dialect)))
    usage: Any = {"include_usage": True}

    with sdk.chat.completions.stream(model=model(dialect), messages=ASKED, tools=TOOLS, stream_options=usage) as stream:
        events = list(stream)
        final = stream.get_final_completion()

    check_final(final, dialect)
    said = [event.delta for event in events if event.type == "content.delta"]
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert "".join(said) == TEXT.text
    assert [event.parsed_arguments for event in done] == [LookUp(city="Zürich"), LookUp(city="東京")]
    assert [event.index for event in done] == [0, 1]


async def test_stream_of_the_async_client(async_sdk: openai.AsyncOpenAI, dialect: Dialect, dialects: Pair) -> None:
    dialects.provider.reply_with(dialect.wire.stream(busy_turn(dialect)))
    usage: Any = {"include_usage": True}

    async with async_sdk.chat.completions.stream(
        model=model(dialect), messages=ASKED, tools=TOOLS, stream_options=usage
    ) as stream:
        said = [event.delta async for event in stream if event.type == "content.delta"]
        final = await stream.get_final_completion()

    check_final(final, dialect)
    assert "".join(said) == TEXT.text


def check_final(final: Any, dialect: Dialect) -> None:
    message = final.choices[0].message
    assert final.choices[0].finish_reason == "tool_calls"
    assert final.usage.total_tokens == 13
    assert message.content == TEXT.text
    assert message.reasoning_content == THOUGHT.text
    assert [call.id for call in message.tool_calls] == ["call_1", "call_2"]
    assert [call.function.parsed_arguments for call in message.tool_calls] == [
        LookUp(city="Zürich"),
        LookUp(city="東京"),
    ]
    if dialect.name in SIGNING:
        (block,) = message.thinking_blocks
        assert (block["thinking"], block["signature"]) == (THOUGHT.text, SIGNATURE)


def test_message_that_the_sdk_put_together_goes_back(sdk: openai.OpenAI, dialect: Dialect, dialects: Pair) -> None:
    done = Turn(blocks=(Block(kind="text", deltas=("14 °C.",)),), usage=USAGE)
    dialects.provider.reply_with(dialect.wire.stream(busy_turn(dialect)), dialect.wire.whole(done))
    with sdk.chat.completions.stream(model=model(dialect), messages=ASKED, tools=TOOLS) as stream:
        message: Any = stream.get_final_completion().choices[0].message.model_dump(exclude_none=True)

    results: list[Any] = [
        {"role": "tool", "tool_call_id": call["id"], "content": "14 °C"} for call in message["tool_calls"]
    ]
    answer = sdk.chat.completions.create(model=model(dialect), messages=[*ASKED, message, *results], tools=TOOLS)

    assert answer.choices[0].message.content == "14 °C."
    pieces = last_asked(dialect, dialects).turns[1][1]
    wanted: list[tuple[Any, ...]] = [
        ("text", TEXT.text),
        ("call", "call_1", "LookUp", {"city": "Zürich"}),
        ("call", "call_2", "LookUp", {"city": "東京"}),
    ]
    assert [piece for piece in pieces if piece[0] != "thinking"] == wanted
    if dialect.name in SIGNING:
        assert pieces[0] == ("thinking", THOUGHT.text, SIGNATURE)


def test_throttled_is_the_class_that_callers_catch(sdk: openai.OpenAI, dialect: Dialect, dialects: Pair) -> None:
    problem = Problem(status=429, message="Slow down.", headers=(("retry-after", "4"),))
    dialects.provider.reply_with(dialect.wire.problem(problem))

    with pytest.raises(openai.RateLimitError) as caught:
        sdk.chat.completions.create(model=model(dialect), messages=ASKED)

    assert caught.value.response.headers["retry-after"] == "4"


def test_stream_that_breaks_raises(sdk: openai.OpenAI, dialect: Dialect, dialects: Pair) -> None:
    begun = Turn(blocks=(TEXT,), finish=None, ends=False, trouble="error", says="Overloaded")
    dialects.provider.reply_with(dialect.wire.stream(begun))

    with (
        pytest.raises(openai.APIError),
        sdk.chat.completions.stream(model=model(dialect), messages=ASKED) as stream,
    ):
        stream.until_done()
