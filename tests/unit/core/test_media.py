"""URLs in chat requests: which ones must be fetched, and how what was fetched becomes part of the request."""

from __future__ import annotations

import base64

import pytest
from isthmusd.core.chat import ChatRequest, FilePart, ImagePart, Message, Part, TextPart, plain_text
from isthmusd.core.errors import InvalidRequest
from isthmusd.core.media import Fetched, Held, remote_parts, with_bytes
from isthmusd.core.profile import Profile

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
PDF = b"%PDF-1.7 ..."
URL = "https://example.com/a/cat%20one.png?x=1"
BYTES_ONLY = Profile(fetches=frozenset())
ALL = Profile()


def request_with(*parts: Part) -> ChatRequest:
    messages = (Message(role="system", content=plain_text("be kind")), Message(role="user", content=parts))
    return ChatRequest(model="m", messages=messages)


def embedded(part: Part, held: Held, profile: Profile = BYTES_ONLY) -> Part:
    content = with_bytes(request_with(TextPart(text="see"), part), profile, held).messages[1].content
    assert content is not None
    assert content[0] == TextPart(text="see")
    return content[1]


def refused(part: Part, fetched: Fetched | None = None) -> str:
    held = {} if fetched is None else {URL: fetched}
    with pytest.raises(InvalidRequest) as refusal:
        embedded(part, held)
    assert refusal.value.param == "messages[1].content[1]"
    assert refusal.value.message.startswith("messages[1].content[1]: the ")
    assert refusal.value.message.endswith("; send its content as base64 instead")
    return refusal.value.message.removeprefix("messages[1].content[1]: the ").partition(";")[0]


def test_only_urls_that_the_target_does_not_fetch_are_remote() -> None:
    request = request_with(ImagePart(url=URL), FilePart(url="http://b/x.pdf"), ImagePart(data_base64="AA=="))

    found = remote_parts(request, BYTES_ONLY)

    assert [(part.url, part.kind, part.place) for part in found] == [
        (URL, "image", "messages[1].content[0]"),
        ("http://b/x.pdf", "file", "messages[1].content[1]"),
    ]
    assert [part.kind for part in remote_parts(request, Profile(fetches=frozenset({"image"})))] == ["file"]
    assert remote_parts(request, ALL) == ()


@pytest.mark.parametrize("url", ["gs://bucket/x.png", "s3://b/x", "data:image/png;base64,AA==", "file:///etc/passwd"])
def test_other_schemes_are_never_fetched(url: str) -> None:
    assert remote_parts(request_with(ImagePart(url=url)), BYTES_ONLY) == ()


def test_a_request_without_urls_is_the_same_request() -> None:
    request = request_with(TextPart(text="hi"), ImagePart(data_base64="AA==", mime_type="image/png"))

    assert with_bytes(request, BYTES_ONLY, {}) is request


def test_an_image_gets_its_bytes_and_keeps_the_rest() -> None:
    part = ImagePart(url=URL, detail="high")

    assert embedded(part, {URL: Fetched(content=PNG, content_type="image/png")}) == ImagePart(
        data_base64=base64.b64encode(PNG).decode(), mime_type="image/png", detail="high"
    )
    assert embedded(part, {URL: Fetched(content=PNG)}, ALL) is part


def test_a_file_gets_its_bytes_and_no_name_that_the_caller_did_not_give() -> None:
    held = {URL: Fetched(content=PDF)}
    data = base64.b64encode(PDF).decode()

    assert embedded(FilePart(url=URL), held) == FilePart(data_base64=data, mime_type="application/pdf")
    assert embedded(FilePart(url=URL, filename="b.pdf"), held) == FilePart(
        data_base64=data, mime_type="application/pdf", filename="b.pdf"
    )


def test_what_a_target_reads_itself_is_not_fetched_for_it() -> None:
    own = Profile(fetches=frozenset(), reads=("https://example.com/a/",))

    assert remote_parts(request_with(ImagePart(url=URL), ImagePart(url="https://example.com/b")), own)[0].url.endswith(
        "b"
    )
    assert embedded(ImagePart(url=URL), {URL: Fetched(content=PNG)}, own) == ImagePart(url=URL)


@pytest.mark.parametrize(
    ("content", "declared", "mime_type"),
    [
        (PNG, None, "image/png"),
        (PNG, "application/octet-stream", "image/png"),
        (PNG, "image/jpeg", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/png; charset=x", "image/jpeg"),
        (b"GIF89a..", "text/html", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "", "image/webp"),
        (b"BM....", "Image/BMP", "image/bmp"),
    ],
)
def test_what_an_image_is_its_bytes_say_first(content: bytes, declared: str | None, mime_type: str) -> None:
    part = embedded(ImagePart(url=URL), {URL: Fetched(content=content, content_type=declared)})

    assert isinstance(part, ImagePart)
    assert part.mime_type == mime_type


@pytest.mark.parametrize(
    ("content", "declared", "mime_type"),
    [
        (PDF, "binary/octet-stream", "application/pdf"),
        ("naïve".encode(), None, "text/plain"),
        (b"a,b", "text/csv; charset=utf-8", "text/csv"),
    ],
)
def test_what_a_file_is(content: bytes, declared: str | None, mime_type: str) -> None:
    part = embedded(FilePart(url=URL), {URL: Fetched(content=content, content_type=declared)})

    assert isinstance(part, FilePart)
    assert part.mime_type == mime_type


@pytest.mark.parametrize(
    ("fetched", "reason"),
    [
        (Fetched(content=b"", content_type="image/png"), "is empty"),
        (Fetched(content=b"<", content_type="image/png"), "is said to be image/png, which its content is not"),
        (Fetched(content=b"<", content_type="text/html"), "is of a type that cannot be used as one (text/html)"),
        (Fetched(content=PDF, content_type="image/png"), "is of a type that cannot be used as one (application/pdf)"),
        (Fetched(content=b"hello"), "is of a type that cannot be used as one (text/plain)"),
        (Fetched(content=b"\0\1"), "is of a type that cannot be used as one (unknown)"),
    ],
)
def test_an_image_that_is_none_is_refused(fetched: Fetched, reason: str) -> None:
    assert refused(ImagePart(url=URL), fetched) == f"image {reason}"


def test_a_file_of_unknown_type_is_refused() -> None:
    assert (
        refused(FilePart(url=URL), Fetched(content=b"\0\1")) == "file is of a type that cannot be used as one (unknown)"
    )
    assert "(unknown)" in refused(FilePart(url=URL), Fetched(content=b"\xff\xfe"))
    assert "(nonsense)" in refused(FilePart(url=URL), Fetched(content=b"x", content_type="nonsense\n"))


@pytest.mark.parametrize(
    ("url", "content", "mime_type"),
    [
        ("data:text/plain,hello%20world", b"hello world", "text/plain"),
        ("data:,plain", b"plain", "text/plain"),
        ("DATA:text/csv;charset=utf-8;base64,YSxi", b"a,b", "text/csv"),
        ("data:;base64,YSxi", b"a,b", "text/plain"),
        ("data:base64,YSxi", b"a,b", "text/plain"),
        ("data:application/pdf;base64," + base64.b64encode(PDF).decode().replace("=", "%3D"), PDF, "application/pdf"),
    ],
)
def test_data_urls_of_rarer_forms_are_read_for_every_target(url: str, content: bytes, mime_type: str) -> None:
    part = embedded(FilePart(url=url), {}, ALL)

    assert part == FilePart(data_base64=base64.b64encode(content).decode(), mime_type=mime_type)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("data:image/png;base64", "image is no valid data: URL"),
        ("data:image/png;base64,%%%", "image is a data: URL whose base64 is not valid"),
        ("data:image/png;base64,AAA", "image is a data: URL whose base64 is not valid"),
    ],
)
def test_broken_data_urls_are_refused(url: str, reason: str) -> None:
    assert refused(ImagePart(url=url)) == reason


def test_plain_http_is_fetched_for_targets_that_take_https_only() -> None:
    content = tuple(ImagePart(url=f"{scheme}://example.com/a.png") for scheme in ("http", "https", "gs"))
    request = ChatRequest(model="m", messages=(Message(role="user", content=content),))

    found = remote_parts(request, Profile(fetches_plain_http=False))

    assert [part.url for part in found] == ["http://example.com/a.png"]
