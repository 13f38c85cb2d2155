"""The gateway: a request's life.

Words: an *exchange* is one client request from its first byte to its answer's last, an *attempt* one try of it on
one account; a *route* is a model name as clients say it, its *targets* the (provider, model) pairs that may serve
it, in order; a *lane* is how an answer's bytes are treated (relay, translate, gather); a *race* is two attempts of
which the first with something for the client brings it (hedging), a *rescue* one that continues what another broke
off; an *ending* says how an exchange ended.

`exchange` is the story, read it first; `attempt` is one try. They only execute: whom to ask is decided by `accounts`,
whether to try again by `attempts`; `pump` and `lanes` move the bytes, without a task or an await; `client_request` and
`client_answer` are the client's two halves.

May import `accounts`, `stores`, `dialects`, `records`, `universal`, `wire`.
"""
