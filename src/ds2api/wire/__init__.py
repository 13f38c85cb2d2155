"""The wire: bytes ⇄ HTTP/1.1 messages and event streams.

This room knows HTTP and nothing of AI. It imports nothing else of ds2api.

Two ways in: `server.Server` calls a handler with each `Incoming` request; `upstream.Client` sends a request to an
`Origin` and gives its `Answer`. Both are state machines on `asyncio.Protocol` (`server_connection`,
`upstream_connection`) and share what is below: `heads` (checked, then parsed by h11) and `head_write` (templates),
`framing` (where a body ends), `codings` (compression undone), `timers` (deadlines), `settings` (every limit with its
reason), `errors` (whose fault). `sse` reads event streams.

Only three things wait: a request's body, an upstream's head, a body read whole. What streams is handed over in
callbacks, one a read of the socket, and written at once.
"""
