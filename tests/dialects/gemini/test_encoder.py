"""What a Gemini client reads: the real SDK is the judge."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.genai import errors as sdk_errors
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.gemini.recordings import PATH, STREAMS, Recording, asker, name_of
from tests.dialects.gemini.sdk import answer_of, body_sent, chunks_of, client
from tests.dialects.test_conformance import answer

from ds2api.dialects.gemini import DIALECT
from ds2api.dialects.registry import DIALECTS
from ds2api.universal import events as ev
from ds2api.universal.envelope import Sealer
from ds2api.universal.errors import Error, Fault, Kind
from ds2api.universal.parts import Audio, Call, Citation, Image, Part, Reasoning, Refusal, Sealed, Source, Text
from ds2api.universal.response import Choice, Response, fold, play
from ds2api.universal.usage import Usage

SEALER = Sealer(b"s" * 32)
PROVED = {"sealer": SEALER, "provider": "anthropic", "upstream_model": "claude", "account": "a1"}


def written(*parts: Part, reason: ev.FinishReason = "stop", **changes: Any) -> tuple[bytes, list[str]]:
    """A stream of `parts`, and the paths of what it lost."""
    encoder = DIALECT.encoder(asker(**changes))
    response = Response(
        "id", "m", 1, [Choice(0, list(parts), ev.Finished(reason))], Usage(input_uncached=3, output_text=2)
    )
    return encoder.encode(play(response)), [loss.path for loss in encoder.losses]


def whole(*parts: Part, reason: ev.FinishReason = "stop", **changes: Any) -> dict[str, Any]:
    response = Response(
        "id", "m", 1, [Choice(0, list(parts), ev.Finished(reason))], Usage(input_uncached=3, output_text=2)
    )
    body: dict[str, Any] = json.loads(DIALECT.write_response(response, asker(**changes))[0])
    return body


def objects(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(one.removeprefix(b"data: ")) for one in stream.split(b"\n\n")[:-1]]


def parts_of(stream: bytes) -> list[dict[str, Any]]:
    return [part for one in objects(stream) for part in one["candidates"][0].get("content", {}).get("parts", [])]


def test_the_sdk_reads_text_calls_and_usage() -> None:
    call = Call("call_1", "look", '{"at": [1, 2.5, "é"]}')
    stream, losses = written(Reasoning("hm", summary=True), Text("Hello"), call, reason="tool_use")
    chunks = chunks_of(stream)
    assert "".join(one.text or "" for one in chunks if not one.function_calls) == "Hello"
    (made,) = [found for one in chunks for found in one.function_calls or []]
    assert (made.id, made.name, made.args) == ("call_1", "look", {"at": [1, 2.5, "é"]})
    assert [one.candidates[0].finish_reason for one in chunks][:-1] == [None] * (len(chunks) - 1)  # type: ignore[index]
    last = chunks[-1]
    assert last.candidates[0].finish_reason == "STOP"  # type: ignore[index]
    assert (last.usage_metadata.prompt_token_count, last.usage_metadata.candidates_token_count) == (3, 2)  # type: ignore[union-attr]
    assert {one.model_version for one in chunks} == {"alias"} and len({one.response_id for one in chunks}) == 1
    assert losses == []
    read = answer_of(json.dumps(whole(Text("Hello"), call, reason="tool_use")).encode())
    assert read.candidates[0].content.parts[0].text == "Hello"  # type: ignore[index,union-attr]
    assert read.function_calls[0].args == made.args  # type: ignore[index]


@pytest.mark.parametrize("recording", STREAMS, ids=name_of)
def test_the_sdk_reads_every_recorded_stream_again(recording: Recording) -> None:
    decoder = DIALECT.decoder()
    events = decoder.feed(recording.stream) + decoder.end()
    text = "".join(part.text for part in fold(events).choices[0].parts if isinstance(part, Text))
    chunks = chunks_of(DIALECT.encoder(asker()).encode(events))
    parts = [part for one in chunks for part in (one.candidates[0].content.parts or [])]  # type: ignore[index,union-attr]
    assert "".join(part.text or "" for part in parts if not part.thought) == text


def test_all_of_one_read_leaves_in_one_response() -> None:
    encoder = DIALECT.encoder(asker())
    encoder.encode([ev.Started("id", "m", 1), ev.PartStarted(0, "text")])
    assert encoder.encode([ev.TextDelta(0, "a"), ev.TextDelta(0, 'b"')]).count(b"data: ") == 1
    assert (
        len(
            encoder.encode([ev.TextDelta(0, "a"), ev.PartStarted(1, "reasoning"), ev.ReasoningDelta(1, "b")]).split(
                b"\n\n"
            )
        )
        == 3
    )


def test_r038_nothing_but_data_lines_and_single_blank_lines() -> None:
    encoder = DIALECT.encoder(asker())
    stream = encoder.alive()
    for event in play(answer("Hello", has_call=True)):
        stream += encoder.encode([event])
        stream += b"" if isinstance(event, ev.Ended) else encoder.alive()
    for line in stream.removesuffix(b"\n\n").split(b"\n\n"):
        assert line.startswith(b"data: {") and b"\n" not in line
    assert encoder.alive() == b""
    assert "".join(one.text or "" for one in chunks_of(stream) if one.candidates and not one.function_calls) == "Hello"


def test_a_stream_without_alt_sse_is_one_json_array_at_any_moment() -> None:
    encoder = DIALECT.encoder(asker(form="array"))
    assert encoder.stream_type == "application/json"
    stream = b""
    for event in play(answer("Hello", has_call=True)):
        stream += encoder.alive() + encoder.encode([event])
    listed = json.loads(stream)
    assert [one["candidates"][0].get("finishReason") for one in listed][-1] == "STOP"
    assert len(listed) == 3 and stream.count(b",\r\n") == 2
    failed = DIALECT.encoder(asker(form="array"))
    first = failed.encode([ev.Started("id", "m", 1), ev.PartStarted(0, "text"), ev.TextDelta(0, "a")])
    listed = json.loads(first + failed.encode([ev.Failed(Error(Fault.PROVIDER, Kind.OVERLOADED, "busy"))]))
    assert list(listed[-1]) == ["error"] and listed[-1]["error"]["code"] == 503
    assert json.loads(DIALECT.encoder(asker(form="array")).encode([ev.Ended()]))


def test_r031_an_error_in_the_middle_raises_in_the_sdk() -> None:
    encoder = DIALECT.encoder(asker())
    stream = encoder.encode([
        ev.Started("id", "m", 1), ev.PartStarted(0, "text"), ev.TextDelta(0, "a"),
        ev.Failed(Error(Fault.PROVIDER, Kind.UPSTREAM_TRUNCATED, "cut")), ev.TextDelta(0, "late"), ev.Ended(),
    ])  # fmt: skip
    assert next(iter(objects(stream)[-1])) == "error" and b"finishReason" not in stream and b"late" not in stream
    with pytest.raises(sdk_errors.ServerError, match="cut"):
        chunks_of(stream)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_error_raises_in_the_sdk_with_its_status(kind: Kind) -> None:
    error = DIALECT.write_error(Error(Fault.GATEWAY, kind, "what went wrong", "contents[0]", 12.2), "req_1")
    with pytest.raises(sdk_errors.APIError, match="what went wrong") as raised:
        client(error.status, "application/json", error.body).models.generate_content(model="m", contents="x")
    assert raised.value.code == error.status


@pytest.mark.parametrize(
    ("reason", "word", "lost"),
    [
        ("stop", "STOP", False), ("stop_sequence", "STOP", False), ("length", "MAX_TOKENS", False), ("tool_use", "STOP", False),
        ("context_full", "MAX_TOKENS", False), ("refusal", "SAFETY", False), ("content_filter", "SAFETY", False), ("pause", "OTHER", True),
        ("malformed_tool", "MALFORMED_FUNCTION_CALL", False), ("continuation", "CONTINUATION", False), ("other", "OTHER", True), ("compaction", "OTHER", True),
    ],
)  # fmt: skip
def test_r041_every_reason_has_a_legal_word(reason: ev.FinishReason, word: str, lost: bool) -> None:
    stream, losses = written(Text("a"), reason=reason)
    assert objects(stream)[-1]["candidates"][0]["finishReason"] == word
    assert losses == (["finishReason"] if lost else [])
    assert objects(stream)[-1].get("ds2api_warnings") == (["approximated field=finishReason"] if lost else None)
    assert chunks_of(stream)[-1].candidates[0].finish_reason == word  # type: ignore[index]


def test_r013_a_refusal_is_text_and_safety() -> None:
    stream, _ = written(Refusal("I can't"))
    assert parts_of(stream)[0] == {"text": "I can't"}
    assert objects(stream)[-1]["candidates"][0]["finishReason"] == "SAFETY"


def test_r007_a_call_that_the_limit_cut_is_no_call() -> None:
    broken = Call("c", "f", '{"path":"x","te')
    stream, losses = written(broken, reason="length")
    assert not any("functionCall" in part for part in parts_of(stream)) and losses == []
    assert objects(stream)[-1]["candidates"][0]["finishReason"] == "MAX_TOKENS"
    stream, losses = written(broken, Text("on"), reason="tool_use")
    assert parts_of(stream)[0]["functionCall"]["args"] == {"_raw": '{"path":"x","te'}
    assert losses == ["functionCall.args"]
    assert objects(stream)[-1]["ds2api_warnings"] == ["approximated field=functionCall.args"]


@pytest.mark.parametrize(
    ("arguments", "custom", "expected"),
    [("", False, {}), ("free", True, {"input": "free"}), ("[1]", False, {"_raw": "[1]"})],
)
def test_arguments_are_always_an_object(arguments: str, custom: bool, expected: dict[str, Any]) -> None:
    stream, _ = written(Call("c", "f", arguments, custom), reason="tool_use")
    assert parts_of(stream)[0]["functionCall"]["args"] == expected


def test_r002_interleaved_arguments_become_two_calls() -> None:
    encoder = DIALECT.encoder(asker())
    stream = encoder.encode([
        ev.Started(), ev.PartStarted(0, "call", id="c0", name="f"), ev.PartStarted(1, "call", id="c1", name="g"),
        ev.ArgumentsDelta(0, '{"a"'), ev.ArgumentsDelta(1, '{"b"'), ev.ArgumentsDelta(0, ":1}"), ev.ArgumentsDelta(1, ":2}"),
        ev.PartFinished(0), ev.PartFinished(1), ev.Finished("tool_use"), ev.Ended(),
    ])  # fmt: skip
    assert [(one["functionCall"]["id"], one["functionCall"]["args"]) for one in parts_of(stream)[:2]] == [
        ("c0", {"a": 1}),
        ("c1", {"b": 2}),
    ]


def test_r011_no_usage_is_made_up() -> None:
    encoder = DIALECT.encoder(asker())
    stream = encoder.encode(play(Response("id", "m", 1, [Choice(0, [Text("a")], ev.Finished("stop"))])))
    assert b"usageMetadata" not in stream
    assert [loss.path for loss in encoder.losses] == ["usage"]


def test_usage_is_put_together_as_gemini_counts() -> None:
    usage = Usage(input_uncached=10, cache_read=90, cache_write=5, output_text=4, output_reasoning=6, tool_prompt=2)
    response = Response("id", "m", 1, [Choice(0, [Text("a")], ev.Finished("stop"))], usage)
    assert json.loads(DIALECT.write_response(response, asker())[0])["usageMetadata"] == {
        "promptTokenCount": 105, "cachedContentTokenCount": 90, "candidatesTokenCount": 4, "thoughtsTokenCount": 6,
        "toolUsePromptTokenCount": 2, "totalTokenCount": 117,
    }  # fmt: skip


def test_a_foreign_proof_goes_through_the_real_sdk_and_comes_back_byte_for_byte() -> None:
    """The SDK refuses a signature that is no base64, so the envelope wears it; and it writes bytes its own way again."""
    proof = Sealed("anthropic_signature", "SIG/+==")
    stream, losses = written(Reasoning("hm", proof, summary=True), Call("c", "f", "{}"), reason="tool_use", **PROVED)
    assert losses == []
    contents = [one.candidates[0].content for one in chunks_of(stream)]  # type: ignore[index]
    parts = [part for content in contents for part in content.parts or [] if part.text != "" or part.thought_signature]  # type: ignore[union-attr]
    target, body = body_sent([{"role": "user", "parts": [{"text": "x"}]}, {"role": "model", "parts": parts}])
    pins = DIALECT.peek(body, target).pins
    assert len(pins) == 1
    opened = SEALER.open(pins[0])
    assert opened is not None and (opened.kind, opened.data, opened.account) == ("anthropic_signature", "SIG/+==", "a1")
    read = [part for part in DIALECT.read_request(body, {}, target).turns[1].parts if isinstance(part, Reasoning)]
    assert any(part.sealed is not None and part.sealed.data == pins[0] for part in read)


def test_geminis_own_signature_is_never_wrapped() -> None:
    own = Sealed("gemini_signature", "QUJD")
    body = whole(
        Reasoning("hm", own, summary=True), Text("a", signature=own), Call("c", "f", "{}", signature=own), **PROVED
    )
    assert [part["thoughtSignature"] for part in body["candidates"][0]["content"]["parts"]] == ["QUJD"] * 3
    _, losses = written(Reasoning("hm", Sealed("openai_encrypted", "x")))
    assert losses == ["thoughtSignature"], "nothing here can seal it"


def test_citations_of_others_become_grounding() -> None:
    text = "Grüße, cited"
    cited = Citation("url", "https://a", "A", None, 7, 12)
    body = whole(Text(text, [cited, Citation("url", "https://b"), Citation("document", None, "doc")]))
    grounding = body["candidates"][0]["groundingMetadata"]
    assert [one["web"]["uri"] for one in grounding["groundingChunks"]] == ["https://a", "https://b"]
    spans = [one["segment"] for one in grounding["groundingSupports"]]
    assert [text.encode()[one["startIndex"] : one["endIndex"]].decode() for one in spans] == ["cited", text]
    assert body["ds2api_warnings"] == ["dropped field=citations"]
    answer_of(json.dumps(body).encode())


def test_media_come_out_whole() -> None:
    data = base64.b64encode(b"123").decode()
    encoder = DIALECT.encoder(asker())
    stream = encoder.encode([
        ev.Started(), ev.PartStarted(0, "media"), ev.MediaSeen(0, "audio/wav", data[:3]), ev.MediaSeen(0, "audio/wav", data[3:]),
        ev.PartFinished(0), ev.Finished("stop"), ev.Ended(),
    ])  # fmt: skip
    assert chunks_of(stream)[0].candidates[0].content.parts[0].inline_data.data == b"123"  # type: ignore[index,union-attr]
    body = whole(Image(Source(data=data, media_type="image/png")), Audio(Source(data=data, media_type="audio/wav")))
    assert [one["inlineData"]["mimeType"] for one in body["candidates"][0]["content"]["parts"]] == [
        "image/png",
        "audio/wav",
    ]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
PARTS = st.lists(
    st.one_of(
        st.builds(Text, TEXT),
        st.builds(lambda text: Reasoning(text, Sealed("gemini_signature", "QQ=="), summary=True), TEXT),
        st.builds(lambda name, value: Call(name, "f", json.dumps({"k": value})), TEXT, TEXT),
    ),
    max_size=5,
)


@given(parts=PARTS, cut=st.integers(1, 40))
def test_what_is_written_is_read_again(parts: list[Part], cut: int) -> None:
    """Streamed and whole, for whatever both protocols can say; texts in a row are one in a stream."""
    reason: ev.FinishReason = "tool_use" if any(isinstance(part, Call) for part in parts) else "stop"
    stream, losses = written(*parts, reason=reason)
    decoder = DIALECT.decoder()
    events = [
        one for place in range(0, len(stream), cut) for one in decoder.feed(stream[place : place + cut])
    ] + decoder.end()
    streamed, once = fold(events), DIALECT.read_response(whole(*parts, reason=reason))
    for read in (streamed, once):
        assert joined(read.choices[0].parts if read.choices else []) == joined(parts)
        assert read.usage is not None and (read.usage.input_total, read.usage.output_total) == (3, 2)
    assert losses == []


def joined(parts: list[Part]) -> list[Any]:
    said: list[Any] = []
    for part in parts:
        if isinstance(part, Call):
            said.append(("call", part.id, part.name, json.loads(part.arguments)))
        elif isinstance(part, Text) and said and said[-1][0] == "text":
            said[-1] = ("text", said[-1][1] + part.text)
        elif isinstance(part, Text):
            said.append(("text", part.text))
        elif isinstance(part, Reasoning):
            said.append(("thought", part.text, part.sealed and part.sealed.data))
    return said


def test_the_registry_knows_it_and_the_sdk_asks_where_it_listens() -> None:
    assert DIALECTS["gemini"] is DIALECT
    target, body = body_sent(["Hello"])
    assert target == PATH.replace("gemini-2.5-flash", "m")
    assert DIALECT.peek(body, target).model == "m"
    assert DIALECT.read_request(body, {}, target).turns[0].parts == [Text("Hello", path="contents[0].parts[0]")]
