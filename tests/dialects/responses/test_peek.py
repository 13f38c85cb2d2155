"""What routing reads of a request without building it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.dialects.responses.recordings import REQUESTS

from ds2api.dialects.responses import DIALECT
from ds2api.universal.errors import Problem

PATH = "/v1/responses"
ASKED = {"role": "user", "content": "What is it?"}
ANSWERED = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "This."}]}


def peek(**fields: Any) -> Any:
    return DIALECT.peek({"model": "m", "input": [ASKED], **fields}, PATH)


def test_what_it_reads() -> None:
    seen = peek(stream=True, max_output_tokens=99, previous_response_id="resp_1", instructions="abc")
    assert (seen.model, seen.stream, seen.output_limit, seen.previous_id) == ("m", True, 99, "resp_1")
    assert (seen.wants_usage, seen.can_relay, seen.form, seen.choices) == (True, True, "", 1)
    assert seen.text_bytes == len("abcWhat is it?")
    assert peek(input="é").text_bytes == 2


def test_media_and_pins_are_found_wherever_they_stand() -> None:
    image = {"type": "input_image", "image_url": "https://a", "detail": "auto"}
    seen = peek(input=[
        {"role": "user", "content": [image, {"type": "input_file", "file_url": "https://b"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "ds2.1.abc"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gAAAA"},
        {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": "ds2.1.abc"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "c", "output": [image]},
    ])  # fmt: skip
    assert (seen.media_count, seen.pins) == (3, ("ds2.1.abc",))
    assert seen.text_bytes == len('{"a":1}')


def test_r122_a_conversation_keeps_its_affinity_and_no_other_has_it() -> None:
    first = peek(instructions="I").affinity
    assert first is not None
    assert peek(instructions="I", input=[ASKED, ANSWERED, {"role": "user", "content": "Why?"}]).affinity == first
    assert peek(instructions="I", input=[ASKED, {"role": "user", "content": "And?"}]).affinity == first
    others = [
        peek(instructions="J").affinity,
        peek(instructions="I", prompt_cache_key="k").affinity,
        peek(instructions="I", input="Another?").affinity,
    ]
    assert len({first, *others}) == 4
    assert peek(input=[ANSWERED]).affinity is None


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "model"), ({"model": 1}, "model"), ({"model": ""}, "model"), ({"model": "m", "input": 1}, "input"),
        ({"model": "m", "stream": "yes"}, "stream"), ({"model": "m", "max_output_tokens": "x"}, "max_output_tokens"),
        ({"model": "m", "previous_response_id": 1}, "previous_response_id"),
    ],
)  # fmt: skip
def test_faults_are_named(body: dict[str, Any], path: str) -> None:
    with pytest.raises(Problem) as caught:
        DIALECT.peek(body, PATH)
    assert caught.value.error.param == path


def test_every_recorded_request_is_peeked() -> None:
    for recording in REQUESTS:
        seen = DIALECT.peek(recording.request, PATH)
        assert seen.text_bytes > 0
        assert seen.previous_id == recording.request.get("previous_response_id")
