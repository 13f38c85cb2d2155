"""One base URL for every SDK: the path decides, then the headers; versions doubled, foreign and missing."""

from __future__ import annotations

import pytest

from ds2api.dialects.registry import DIALECTS
from ds2api.gateway.doors import Doors
from ds2api.universal.errors import Kind, Problem

DOORS = Doors(DIALECTS.values())
ANTHROPIC = {"anthropic-version": "2023-06-01"}
GOOGLE = {"x-goog-api-key": "x"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "query", "dialect", "operation", "name"),
    [
        ("POST", "/v1/chat/completions", {}, "", "chat", "generate", ""),
        ("POST", "/chat/completions", {}, "", "chat", "generate", ""),
        ("POST", "/v1/v1/chat/completions", {}, "", "chat", "generate", ""),
        ("POST", "//v1//chat/completions/", {}, "", "chat", "generate", ""),
        ("POST", "/openai/v1/chat/completions", {}, "", "chat", "generate", ""),
        ("POST", "/v1beta/openai/chat/completions", {}, "", "chat", "generate", ""),
        ("POST", "/openai/deployments/gpt-x/chat/completions", {}, "api-version=1", "chat", "generate", ""),
        ("POST", "/v1/responses", {}, "", "responses", "generate", ""),
        ("GET", "/v1/responses/resp_1", {}, "", "responses", "stored", "resp_1"),
        ("DELETE", "/v1/responses/resp_1", {}, "", "responses", "stored", "resp_1"),
        ("POST", "/v1/responses/resp_1/cancel", {}, "", "responses", "stored", "resp_1"),
        ("GET", "/v1/responses/resp_1/input_items", {}, "", "responses", "stored", "resp_1"),
        ("POST", "/v1/responses/compact", {}, "", "responses", "relay", ""),
        ("POST", "/v1/responses/input_tokens", {}, "", "responses", "count_tokens", ""),
        ("POST", "/v1/messages", {}, "beta=true", "messages", "generate", ""),
        ("POST", "/anthropic/v1/messages", {}, "", "messages", "generate", ""),
        ("POST", "/v1beta/models/gemini-x:generateContent", {}, "", "gemini", "generate", "gemini-x"),
        ("POST", "/v1/models/gemini-x:streamGenerateContent", {}, "alt=sse", "gemini", "generate", "gemini-x"),
        ("POST", "/v1/v1beta/models/a/b:generateContent", {}, "", "gemini", "generate", "a/b"),
        ("POST", "/v1beta/models/gemini-x:countTokens", {}, "", "gemini", "count_tokens", "gemini-x"),
        ("POST", "/v1beta/models/e:batchEmbedContents", {}, "", "gemini", "embed", "e"),
        ("POST", "/api/chat", {}, "", "ollama", "generate", ""),
        ("POST", "/v1/api/chat", {}, "", "ollama", "generate", ""),
        ("POST", "/api/show", {}, "", "ollama", "model", ""),
        ("GET", "/api/version", {}, "", "ollama", "note", ""),
        ("GET", "/v1/models", {}, "", "chat", "models", ""),
        ("HEAD", "/v1/models", {}, "", "chat", "models", ""),
        ("GET", "/v1/models", ANTHROPIC, "", "messages", "models", ""),
        ("GET", "/v1/models", GOOGLE, "", "gemini", "models", ""),
        ("GET", "/v1/models", {}, "key=x", "gemini", "models", ""),
        ("GET", "/v1beta/models", {}, "", "gemini", "models", ""),
        ("GET", "/v1/models/a%2Fb", {}, "", "chat", "model", "a/b"),
        ("GET", "/v1/models/a/b", ANTHROPIC, "", "messages", "model", "a/b"),
    ],
)
def test_every_path_has_its_door(
    method: str, path: str, headers: dict[str, str], query: str, dialect: str, operation: str, name: str
) -> None:
    door = DOORS.find(method, path, headers, query)
    assert (door.dialect.name, door.operation, door.name) == (dialect, operation, name)


def test_a_wrong_method_says_which_are_right_and_a_wrong_path_which_there_are() -> None:
    with pytest.raises(Problem) as caught:
        DOORS.find("GET", "/v1/responses", {}, "")
    assert (caught.value.error.kind, caught.value.error.details) == (Kind.METHOD_NOT_ALLOWED, ["POST"])
    with pytest.raises(Problem, match="/v1/chat/completions"):
        DOORS.find("GET", "/v7/nothing", {}, "")


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        ("/v1/messages/batches", {}, "messages"),
        ("/v1beta/files", {}, "gemini"),
        ("/api/pull", {}, "ollama"),
        ("/v1/files", {}, "chat"),
        ("/v1/files", ANTHROPIC, "messages"),
        ("/v1/files", GOOGLE, "gemini"),
    ],
)
def test_an_unknown_path_gets_the_error_of_whoever_asks(path: str, headers: dict[str, str], dialect: str) -> None:
    assert DOORS.dialect_of(path, headers, "").name == dialect
