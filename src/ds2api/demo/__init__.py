"""The demo: an upstream that needs no key and no network, so that a newcomer sees the whole thing at work.

It answers in both dialects, streams at a human pace, calls tools, and has three accounts, of which one is always
rate limited and one sometimes overloaded. It is a real upstream on a loopback port: the gateway treats it as any
other. May import `dialects`, `universal`, `wire` and what `config` offers.
"""

from ds2api.demo.upstream import DEMO_KEYS, DemoUpstream, Upstream, demo_table

__all__ = ["DEMO_KEYS", "DemoUpstream", "Upstream", "demo_table"]
