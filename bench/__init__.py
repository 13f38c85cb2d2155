"""The bench: what the gateway costs, in one run beside direct, the floor and nginx. See README.md."""
