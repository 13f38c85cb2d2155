"""A process that is stopped and goes on (SIGSTOP, a paused machine) finds what came meanwhile before it finds that
time has passed."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import pytest
from tests.end_to_end.answers import chat_events
from tests.end_to_end.mock import Hold, Reply, mock_upstream
from tests.end_to_end.raw import connected, post_bytes
from tests.end_to_end.test_cli import ASK, KEYS, banner, serving, write_config

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGSTOP")

EVENT_IDLE_S = 1.0


def test_a_stream_whose_events_came_goes_on_after_a_stop_longer_than_its_limit(tmp_path: Path) -> None:
    first, *others = chat_events()
    begun, stopped = Hold(), Hold()
    with mock_upstream() as mock:
        mock.then(Reply.sse(first, begun, others[0], stopped, *others[1:]))
        write_config(tmp_path / "ds2api.toml", mock, more=f"[timeouts]\nevent_idle_s = {EVENT_IDLE_S}")
        with serving(cwd=tmp_path, extra=KEYS) as process:
            port = banner(process)[1]
            with connected(port, post_bytes("/v1/chat/completions", {**ASK, "stream": True})) as client:
                begun.wait_reached()
                process.popen.send_signal(signal.SIGSTOP)
                begun.release()
                stopped.wait_reached()  # the event stands in the stopped process's socket
                # The one thing here that nothing tells: that time has passed. Half a second is a pause like others.
                threading.Event().wait(EVENT_IDLE_S + 0.7)
                process.popen.send_signal(signal.SIGCONT)
                stopped.release()
                answer = b""
                while b"0\r\n\r\n" not in answer:
                    more = client.recv(65536)
                    assert more, answer
                    answer += more
        assert b"data: [DONE]" in answer
        assert b"error" not in answer
