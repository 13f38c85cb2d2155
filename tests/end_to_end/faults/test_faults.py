"""Every fault of the table, in six dialects, both forms: a right answer or an error in the client's own form, in time.

`python -m tests.end_to_end.faults` prints what was passed, by kind and dialect.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.end_to_end.faults.play import cases_of, play
from tests.end_to_end.faults.rows import ERROR, RIGHT, Fault
from tests.end_to_end.faults.speech import DIALECTS, read, whole_of
from tests.end_to_end.faults.table import TABLE
from tests.wire.helpers import Received

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop

KINDS = list(dict.fromkeys(fault.kind for fault in TABLE))


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_is_answered_as_it_should_be(kind: str) -> None:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        results = runner.run(play(cases_of(fault for fault in TABLE if fault.kind == kind)))
    assert [f"{result.case.name}: {'; '.join(result.faults)}" for result in results if result.faults] == []


def test_the_table_is_as_large_as_it_is_said_to_be() -> None:
    assert len(TABLE) >= 350
    assert len({(fault.kind, fault.name) for fault in TABLE}) == len(TABLE)
    assert {case.client for case in cases_of(TABLE)} == {case.upstream for case in cases_of(TABLE)} == set(DIALECTS)


@pytest.mark.parametrize(
    ("wanted", "lies"),
    [
        (RIGHT, lambda right: [right.sized(body=whole_of(right.dialect, "something else"))]),
        (ERROR, lambda right: [right.sized()]),
        (RIGHT, lambda right: [right.sized(line="HTTP/1.1 500 No")]),
    ],
)
def test_the_play_finds_a_wrong_outcome(wanted: str, lies) -> None:
    fault = Fault("lie", "JSON", (wanted, wanted), lies)
    results = asyncio.run(play([case for case in cases_of([fault]) if not case.stream]))
    assert all(result.faults for result in results[:-1])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("body", [b"", b"{}", b"data: {}\n\n", b'{"error": 5}', b'{"error": {}}'])
@pytest.mark.parametrize("status", [200, 302, 500])
@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_no_answer_and_no_error(dialect: str, body: bytes, status: int, stream: bool) -> None:
    headers = {"content-type": "text/event-stream" if stream else "application/json"}
    assert read(dialect, Received(status, headers, body), "Hello", stream=stream) not in (RIGHT, ERROR)
