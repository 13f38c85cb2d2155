"""`python -m tests.wire.hostile [--all]`: the table, this gateway beside nginx (where it is installed).

By default the sums by kind, and each row in which one of the two is wrong; with `--all` every row. Exit status 1 if
this gateway is wrong in any. nginx proxies to the same recorder with its own defaults but for the time limits, and is not asked the
rows about what only this gateway is for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from tests.wire.hostile.house import gateway
from tests.wire.hostile.referee import Recorder, faults, play
from tests.wire.hostile.table import TABLE

__all__ = ["main"]

_CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_header_timeout 300ms; client_body_timeout 300ms; keepalive_timeout 1s; lingering_timeout 300ms;
  client_max_body_size 32m;
  server {{
    listen 127.0.0.1:{port};
    proxy_http_version 1.1; proxy_set_header Connection "";
    location = /healthz {{ return 200 "ok"; }}
    location = / {{ return 200 "ok"; }}
    location /nowhere {{ return 404; }}
    location /providers/up/ {{ proxy_pass http://{upstream}/v1/; }}
    location / {{ proxy_pass http://{upstream}; }}
  }}
}}
"""


@contextlib.asynccontextmanager
async def _nginx(recorder: Recorder) -> AsyncIterator[tuple[str, int] | None]:
    """nginx in front of the recorder; None where it is not installed."""
    program = shutil.which("nginx")
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        host, at = recorder.address
        file = Path(folder) / "nginx.conf"
        file.write_text(_CONFIGURATION.format(folder=folder, port=port, upstream=f"{host}:{at}"))
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            program, "-p", folder, "-c", str(file), "-e", "/dev/null", stdout=quiet, stderr=quiet
        )
        try:
            async with asyncio.timeout(10):
                while True:
                    with contextlib.suppress(OSError):
                        (await asyncio.open_connection("127.0.0.1", port))[1].close()
                        break
                    await asyncio.sleep(0.01)
            yield "127.0.0.1", port
        finally:
            process.terminate()
            await process.wait()


async def main(arguments: list[str]) -> int:
    """Run and print. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.wire.hostile", description=__doc__)
    parser.add_argument("--all", action="store_true", help="print every row")
    shows_all = parser.parse_args(arguments).all
    right: Counter[tuple[str, str]] = Counter()
    async with (
        Recorder() as recorder,
        gateway(recorder, is_hasty=False) as patient,
        gateway(recorder, is_hasty=True) as hasty,
        _nginx(recorder) as nginx,
    ):
        for row in TABLE:
            results = {}
            for name, address in (("ds2api", hasty if row.is_slow else patient), ("nginx", nginx)):
                if address is not None and not (name == "nginx" and row.is_ours):
                    seen = await play(row, address, recorder)
                    found = faults(row, seen)
                    results[name] = f"{'wrong' if found else 'right'} ({seen})"
                    right[name, row.kind] += not found
            if shows_all or any(result.startswith("wrong") for result in results.values()):
                print(f"{row.kind:13} {row.name[:64]:64} {row.section[:18]:18}", *results.values(), sep=" | ")
    asked = {
        name: Counter(row.kind for row in TABLE if name == "ds2api" or not row.is_ours) for name in ("ds2api", "nginx")
    }
    names = ["ds2api", *(["nginx"] if nginx is not None else [])]
    print(f"\n{'right outcomes':16}" + "".join(f"{name:>12}" for name in names))
    for kind in [*asked["ds2api"], "in all"]:
        kinds = list(asked["ds2api"]) if kind == "in all" else [kind]
        sums = [(sum(right[name, one] for one in kinds), sum(asked[name][one] for one in kinds)) for name in names]
        print(f"{kind:16}" + "".join(f"{count:6} /{total:4}" for count, total in sums))
    return 0 if sum(right["ds2api", kind] for kind in asked["ds2api"]) == len(TABLE) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
