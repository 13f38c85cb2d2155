"""The dialect `responses`, OpenAI's and whoever speaks it: its doors, each a function of the file that does it
(`dialects.contract.Dialect`)."""

from __future__ import annotations

from collections.abc import Mapping

from ds2api.dialects.contract import Dialect, Route, Target, tap_of
from ds2api.dialects.responses import answer, errors, models, peek, request_in, request_out
from ds2api.dialects.responses.decoder import ResponsesDecoder
from ds2api.dialects.responses.encoder import ResponsesEncoder, write_response
from ds2api.dialects.responses.state import ResponsesAnswerKeeper
from ds2api.dialects.responses.tap import ResponsesTap
from ds2api.dialects.responses.token_count import ResponsesTokenCounter

__all__ = ["DIALECT"]

_PATH = request_out.PATH
# A client's own headers that mean something to the server: switches of OpenAI, the session that Codex names.
_RELAYED_HEADERS = ("openai-beta", "x-client-request-id", "session_id", "originator")


def _relay_path(path: str, model: str) -> str:
    """The client's own from ``/responses`` on, which is what a request about one answer is; its query, too, but where
    an answer is asked for."""
    own = path[max(path.find(_PATH), 0) :]
    return _PATH if own.partition("?")[0] == _PATH else own


def _relay_headers(headers: Mapping[str, str], target: Target) -> list[tuple[str, str]]:
    return [(name, headers[name]) for name in _RELAYED_HEADERS if name in headers]


# Its paths are its own: so it `claims` none.
DIALECT = Dialect(
    name="responses",
    version_prefix="/v1",
    generate_path=_PATH,
    routes=(
        Route("POST", "/v1/responses", "generate"),
        Route("POST", "/v1/responses/input_tokens", "count_tokens"),
        Route("POST", "/v1/responses/compact", "relay"),
        Route("GET", "/v1/responses/{id}", "stored"),
        Route("DELETE", "/v1/responses/{id}", "stored"),
        Route("POST", "/v1/responses/{id}/cancel", "stored"),
        Route("GET", "/v1/responses/{id}/input_items", "stored"),
    ),
    token_counter=ResponsesTokenCounter(),
    answer_keeper=ResponsesAnswerKeeper(),
    peek=peek.peek,
    relay_path=_relay_path,
    relay_headers=_relay_headers,
    read_request=request_in.read_request,
    write_request=request_out.write_request,
    read_response=answer.read_response,
    read_usage=answer.read_usage_alone,
    write_response=write_response,
    decoder=ResponsesDecoder,
    encoder=ResponsesEncoder,
    tap=tap_of(ResponsesTap),
    read_error=errors.read_error,
    write_error=errors.write_error,
    write_models=models.written_models,
    write_model=models.written_model,
)
