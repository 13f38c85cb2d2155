"""The wire: bytes ⇄ HTTP/1.1 messages and event streams.

This room knows HTTP and nothing of AI. It imports nothing of ds2api.
"""
