"""Rules of the contract that no linter knows, read from the descriptors. Not for the behaviour of services."""

from collections.abc import Iterator

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from isthmus.v1 import (
    admin_pb2,
    chat_pb2,
    chat_stream_pb2,
    completion_pb2,
    credential_pb2,
    embedding_pb2,
    flights_pb2,
    forward_pb2,
    model_pb2,
    openai_pb2,
    stream_pb2,
    usage_pb2,
    verifier_pb2,
)

FILES: tuple[FileDescriptor, ...] = tuple(
    file.DESCRIPTOR
    for file in (
        admin_pb2,
        chat_pb2,
        chat_stream_pb2,
        completion_pb2,
        credential_pb2,
        embedding_pb2,
        flights_pb2,
        forward_pb2,
        model_pb2,
        openai_pb2,
        stream_pb2,
        usage_pb2,
        verifier_pb2,
    )
)
REQUESTS = (chat_pb2.ChatRequest, completion_pb2.CompletionRequest, embedding_pb2.EmbeddingRequest)
SCALARS = {FieldDescriptor.CPPTYPE_BOOL, FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_INT32}
SCALARS |= {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_STRING}

# Every member of OpenAI's chat request, and the field that carries it. `stream` is the choice of the method, and the
# usage that `stream_options` asks for always comes; what is deprecated or one vendor's travels in extra_json.
CHAT_FIELDS = {
    "audio": "audio",
    "frequency_penalty": "frequency_penalty",
    "function_call": "extra_json",
    "functions": "extra_json",
    "logit_bias": "logit_bias",
    "logprobs": "logprobs",
    "max_completion_tokens": "max_completion_tokens",
    "max_tokens": "max_tokens",
    "messages": "messages",
    "metadata": "metadata",
    "modalities": "modalities",
    "moderation": "extra_json",
    "model": "model",
    "n": "n",
    "parallel_tool_calls": "parallel_tool_calls",
    "prediction": "prediction_json",
    "presence_penalty": "presence_penalty",
    "prompt_cache_key": "prompt_cache_key",
    "prompt_cache_options": "extra_json",
    "prompt_cache_retention": "prompt_cache_retention",
    "reasoning_effort": "reasoning",
    "response_format": "response_format",
    "safety_identifier": "safety_identifier",
    "seed": "seed",
    "service_tier": "service_tier",
    "stop": "stop",
    "store": "store",
    "temperature": "temperature",
    "tool_choice": "tool_choice",
    "tools": "tools",
    "top_logprobs": "top_logprobs",
    "top_p": "top_p",
    "user": "user",
    "verbosity": "verbosity",
    "web_search_options": "extra_json",
}


def messages() -> Iterator[Descriptor]:
    open_ones = [message for file in FILES for message in file.message_types_by_name.values()]
    while open_ones:
        message = open_ones.pop()
        if not message.GetOptions().map_entry:
            yield message
            open_ones.extend(message.nested_types)


def test_every_member_of_openais_chat_request_has_a_home() -> None:
    fields = set(chat_pb2.ChatRequest.DESCRIPTOR.fields_by_name)

    assert {own for own in CHAT_FIELDS.values() if own not in fields} == set()


@pytest.mark.parametrize("request_type", REQUESTS, ids=lambda own: own.__name__)
def test_knobs_tell_unset_from_default(request_type: type[chat_pb2.ChatRequest]) -> None:
    # `model` is required and an empty extra_json says nothing: only there is unset the same as empty.
    plain = [
        field.name
        for field in request_type.DESCRIPTOR.fields
        if field.cpp_type in SCALARS and not field.is_repeated and not field.has_presence
    ]

    assert set(plain) <= {"model", "extra_json", "prediction_json"}


def test_there_is_no_stream_switch() -> None:
    assert [message.full_name for message in messages() if "stream" in message.fields_by_name] == []


def test_numbers_are_double_except_vectors() -> None:
    floats = {
        field.full_name
        for message in messages()
        for field in message.fields
        if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT
    }

    assert floats == {"isthmus.v1.FloatVector.values"}


def test_every_union_can_carry_what_it_does_not_know() -> None:
    closed = {
        f"{message.full_name}.{union.name}"
        for message in messages()
        for union in message.oneofs
        if not (len(union.fields) == 1 and union.name.startswith("_"))  # proto3 `optional`
        and "raw_json" not in {field.name for field in union.fields}
    }

    # Forward carries bytes: nothing there is typed, so nothing can be unknown. Workers of one build know all they say.
    assert closed == {
        "isthmus.v1.ForwardRequest.piece",
        "isthmus.v1.ForwardResponse.piece",
        "isthmus.v1.JoinResponse.part",
    }


def test_json_never_travels_as_struct() -> None:
    # Struct reorders keys and rounds big integers.
    assert [file.name for file in FILES if "google/protobuf/struct.proto" in file.serialized_pb.decode("latin-1")] == []


def test_http_bindings_live_in_one_file_without_variables_or_optionals() -> None:
    bound = {
        file.name: [
            rule
            for service in file.services_by_name.values()
            for method in service.methods
            if method.GetOptions().HasExtension(annotations_pb2.http)
            for top in [method.GetOptions().Extensions[annotations_pb2.http]]
            for rule in (top, *top.additional_bindings)
        ]
        for file in FILES
    }
    openai = bound.pop("isthmus/v1/openai.proto")

    assert not any(bound.values())
    paths = [rule.custom.path or getattr(rule, rule.WhichOneof("pattern")) for rule in openai]
    assert paths
    # A query parameter would win over a variable of the same name.
    assert [path for path in paths if "{" in path] == []
    # Messages of its own could hold `optional` fields, which older readers of HTTP bindings refuse.
    assert not openai_pb2.DESCRIPTOR.message_types_by_name


@pytest.mark.parametrize("file", FILES, ids=lambda own: own.name)
def test_every_language_has_its_package(file: FileDescriptor) -> None:
    options = FileDescriptorProto.FromString(file.serialized_pb).options

    assert options.go_package == "isthmus/v1;isthmusv1"
    assert options.java_package == "isthmus.v1"
    assert options.java_multiple_files
