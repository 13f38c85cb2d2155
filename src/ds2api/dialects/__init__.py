"""Dialects: universal ⇄ one wire protocol each.

One dialect is one folder with the same doors (`contract.Dialect`): peek, request, response, stream, errors.
Pure: bytes and objects in, bytes and objects out; the clock and ids are handed in. Dialects never import each
other; what two share stands in a named helper beside them. A new dialect is a new folder and one line in
`registry`.
"""
