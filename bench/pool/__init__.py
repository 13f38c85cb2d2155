"""How a pool of accounts is judged: the rules of real providers as data, traffic made of conversations, virtual time.

`rules` is what a provider enforces, `traffic` who asks for what and when, `schedulers` who decides (ours, and the two
that peers use), `simulate` the clock that joins them, `figures` what is counted, `scenarios` the table of the issue,
`runs` all of it over seeds and cores; `sockets` plays the same scenarios through a real gateway, `cost` measures a
decision, `report` draws the page, `__main__` is the door. An ideal scheduler, which sees every bucket of the provider,
stands beside them: goodput is measured against it.
"""
