"""The universal format: what every protocol is translated to and from.

Words: a *request* is turns of typed *parts* plus controls; an answer is a stream of *events* or, folded, a
*response*; *usage* is disjoint counters; an *error* names whose fault it is; a *loss* is what a translation
could not carry.

This room knows AI and nothing of bytes, sockets or any one protocol. It imports only `ds2api.jsons`.
"""
