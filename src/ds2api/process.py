"""What the program does to its own process before it serves, and an embedded gateway never does: its host decides.

No core dump: it would hold every key and every prompt in memory. As many descriptors as the system allows: a soft limit
of 1,024 is usual for programs that still use select(2), and each client may need two. Files that are made from here on
are for this user alone.
"""

from __future__ import annotations

import contextlib
import os
import sys

__all__ = ["prepare_process"]


def prepare_process() -> None:
    """Once, before the loop runs. What the system does not allow stays as it is."""
    if sys.platform == "win32":
        return
    import resource

    os.umask(0o077)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS calls it unlimited and takes no such number
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
