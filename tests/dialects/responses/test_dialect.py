"""The doors, and the kit that every dialect must pass (`tests/dialects/test_conformance.py`) held to this one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.dialects import test_conformance as kit
from tests.dialects.responses.recordings import sse

from ds2api.dialects.contract import Dialect, ModelInfo, Target
from ds2api.dialects.responses import DIALECT
from ds2api.universal.errors import Fault, Kind, Problem
from ds2api.wire.sse import DEFAULT_LIMIT_BYTES

DELTA = {"type": "response.output_text.delta", "output_index": 0, "delta": "Hello"}
FAILED = {
    "type": "response.failed",
    "response": {"id": "resp_1", "status": "failed", "error": {"code": "server_error", "message": "sk-abcd12345"}},
}


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("fault", list(Fault))
def test_every_error_has_a_shape(kind: Kind, fault: Fault) -> None:
    kit.test_every_error_has_a_shape(DIALECT, kind, fault)


@pytest.mark.parametrize(
    "law",
    [
        kit.test_no_error_answer_breaks_the_reader,
        kit.test_what_it_writes_it_reads,
        kit.test_every_prefix_of_a_stream_ends_in_so_many_words,
        kit.test_no_bytes_break_decoder_or_tap,
        kit.test_a_keep_alive_may_stand_between_any_two_writes,
        kit.test_nothing_is_written_behind_the_end,
    ],
    ids=lambda law: law.__name__,
)
def test_conforms(law: Any) -> None:
    law(dialect=DIALECT)


@pytest.mark.parametrize(
    ("path", "upstream"),
    [
        ("/v1/responses", "/responses"),
        ("/v1/responses?x=1", "/responses"),
        ("/v1/responses/compact", "/responses/compact"),
        ("/v1/responses/resp_1/cancel", "/responses/resp_1/cancel"),
        ("/v1/responses/resp_1/input_items?limit=2", "/responses/resp_1/input_items?limit=2"),
        ("/v1/responses/resp_1?stream=true&starting_after=3", "/responses/resp_1?stream=true&starting_after=3"),
    ],
)
def test_relayed_paths(path: str, upstream: str) -> None:
    assert DIALECT.relay_path(path, "m") == upstream


def test_relay_changes_the_model_and_no_other_byte() -> None:
    raw = b'{ "input" : "x", "model":"alias" ,"n": 1.10}'
    assert DIALECT.rewrite(raw, json.loads(raw), "real", ask_usage=True) == raw.replace(b'"alias"', b'"real"')
    assert DIALECT.rewrite(raw, json.loads(raw), "alias", ask_usage=True) == raw


def test_small_doors() -> None:
    dialect: Dialect = DIALECT
    assert not dialect.claims({}, "")
    assert not dialect.must_ask_usage("")
    assert not dialect.wants_thoughts("")
    assert dialect.fits({}, Target("p", "m"))
    assert dialect.relay_headers({"openai-beta": "x", "cookie": "y"}, Target("p", "m")) == [("openai-beta", "x")]
    listed = json.loads(dialect.write_models([ModelInfo("m", "o", 1)], {}, "/v1/models"))
    assert listed == {"object": "list", "data": [json.loads(dialect.write_model(ModelInfo("m", "o", 1)))]}
    with pytest.raises(Problem):
        dialect.write_note("/")


def test_tap_takes_an_error_out_and_lets_nothing_behind_it_pass() -> None:
    tap = DIALECT.tap(strip_usage=False)
    created = {"type": "response.created", "response": {"id": "resp_1"}}
    passed = tap.forward(sse(created, DELTA, FAILED, DELTA)) + tap.end()
    assert passed == sse(created, DELTA)
    assert tap.error is not None
    assert tap.error.kind is Kind.UPSTREAM_FAILED
    assert (tap.answer_id, tap.content_seen, tap.ended) == ("resp_1", True, False)


@pytest.mark.parametrize(
    ("event", "seen"),
    [
        ({"type": "response.created", "response": {"id": "r"}}, False),
        ({"type": "response.output_item.added", "item": {"type": "message"}}, False),
        ({"type": "response.output_item.added", "item": {"type": "function_call"}}, True),
        (DELTA, True),
        ({"type": "response.completed", "response": {"output": []}}, True),
    ],
)
def test_tap_knows_content_from_preludes(event: dict[str, Any], seen: bool) -> None:
    tap = DIALECT.tap(strip_usage=False)
    tap.forward(sse(event))
    assert tap.content_seen is seen


def test_tap_names_an_event_that_is_too_large() -> None:
    tap = DIALECT.tap(strip_usage=False)
    tap.forward(b"data: " + b"x" * (DEFAULT_LIMIT_BYTES + 1))
    assert tap.error is not None
    assert tap.error.kind is Kind.UPSTREAM_BROKEN


@pytest.mark.parametrize(
    "body",
    [{}, {"output": "x"}, {"object": "chat.completion", "choices": []}, {"error": {"message": "no", "code": "server_error"}},
     {"status": "failed", "output": [], "error": None}, {"status": "cancelled", "output": []}],
)  # fmt: skip
def test_what_is_no_answer_is_an_error(body: dict[str, Any]) -> None:
    for door in (DIALECT.read_response, DIALECT.read_usage):
        with pytest.raises(Problem):
            door(body)
