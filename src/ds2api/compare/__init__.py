"""`ds2api bench`: compares gateways and providers, and doubts its own figures.

A *place* is a URL with a name and a dialect; a *work* is a kind of request (`json`, `stream`, `paced`); a *step* is how
many at once, or how many a second; a *round* is one short measurement of one place. Places are measured in turn, round
after round, by a process of their own (`worker`); the *mock* is an upstream whose answers can be foretold, so that
every answer is checked; a *doubt* is a mistake in the comparison that the figures themselves give away.

May import everything below; `cli` calls `command`.
"""
