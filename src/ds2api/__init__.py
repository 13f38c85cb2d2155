"""ds2api: a gateway for AI model APIs. Any client protocol, any provider, one pool of accounts.

To embed it::

    import ds2api

    config = ds2api.from_file("ds2api.toml")      # or from_mapping({...}), from_environment(os.environ)
    async with ds2api.Gateway(config) as gateway:
        ...                                       # it serves at gateway.url until the block ends
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ds2api.config import Config, ConfigError, from_environment, from_file, from_mapping
    from ds2api.service import Gateway

__version__ = "0.1.0"

__all__ = ["Config", "ConfigError", "Gateway", "__version__", "from_environment", "from_file", "from_mapping"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `ds2api version` and `--help` answer without the wire.
    if name == "Gateway":
        from ds2api.service import Gateway

        return Gateway
    if name in __all__:
        from ds2api import config

        return getattr(config, name)
    raise AttributeError(f"module 'ds2api' has no attribute {name!r}")
