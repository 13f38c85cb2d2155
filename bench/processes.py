"""What the bench runs: the mock, the relays that are compared, the load generator. Everything ends with the bench, and
only what it started is ended.

CPU time comes from the kernel's scheduler statistics (nanoseconds on a processor, all threads), not from clock ticks.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.cases import PROTOCOLS

HERE = Path(__file__).parent
BUILD = HERE / "build"
CALLER_KEY = "ds2-bench-caller-key-0123456789"


@dataclass
class Relay:
    """A running relay. `cpu_s` and `rss_bytes` are read from the kernel."""

    name: str
    port: int
    process: subprocess.Popen[bytes] | None

    def _pids(self) -> list[int]:
        if self.process is None:
            return []
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]  # nginx works in a child

    def cpu_s(self) -> float:
        total = 0
        for pid in self._pids():
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def rss_bytes(self) -> int:
        sizes = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._pids()]
        return max(sizes, default=0) * os.sysconf("SC_PAGE_SIZE")


class Processes:
    """The mock and the relays. Enter with ``with``; leaving ends them all."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []
        self._folder = tempfile.TemporaryDirectory(prefix="ds2api-bench-")
        cores = sorted(os.sched_getaffinity(0))
        self.relay_core = {cores[0]}
        self.other_cores = set(cores[1:]) or self.relay_core

    def __enter__(self) -> Processes:
        build()
        self.mock_port = free_port()
        self._start([str(BUILD / "mock"), str(self.mock_port)], self.mock_port, self.other_cores)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        self._folder.cleanup()

    def direct(self) -> Relay:
        return Relay("direct", self.mock_port, None)

    def floor(self) -> Relay:
        port = free_port()
        command = [sys.executable, str(HERE / "floor.py"), str(port), str(self.mock_port)]
        return Relay("floor", port, self._start(command, port, self.relay_core))

    def floor_tls(self, mock_port: int) -> Relay:
        port = free_port()
        command = [sys.executable, "-m", "bench.floor_tls", str(port), str(mock_port), str(self._authority)]
        return Relay("floor", port, self._start(command, port, self.relay_core))

    def nginx(self) -> Relay | None:
        """nginx as a plain relay; None where it is not installed."""
        port = free_port()
        process = self._start_nginx(port, f"listen 127.0.0.1:{port} backlog=4096;", self.relay_core)
        return None if process is None else Relay("nginx", port, process)

    def tls_mock(self) -> int | None:
        """The port of the mock with TLS, which nginx gives it; None where nginx or openssl is missing."""
        openssl, port, certificate = shutil.which("openssl"), free_port(), self._authority
        if openssl is None:
            return None
        command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
        key = certificate.with_suffix(".key")
        subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        listen = f"""listen 127.0.0.1:{port} ssl backlog=4096;
    ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_session_cache shared:a:1m;"""
        return None if self._start_nginx(port, listen, self.other_cores) is None else port

    @property
    def _authority(self) -> Path:
        return Path(self._folder.name) / "ca.pem"

    def _start_nginx(self, port: int, listen: str, cores: set[int]) -> subprocess.Popen[bytes] | None:
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if nginx is None:
            return None
        folder = Path(self._folder.name)
        file = folder / f"nginx-{port}.conf"
        file.write_text(
            f"""
daemon off; worker_processes 1; pid {folder}/nginx-{port}.pid; error_log /dev/null;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream mock {{ server 127.0.0.1:{self.mock_port}; keepalive 1024; }}
  server {{
    {listen}
    keepalive_requests 1000000; client_max_body_size 64m;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off;
    }}
  }}
}}
"""
        )
        return self._start([nginx, "-c", str(file)], port, cores)

    def ours(self, wrapper: list[str] | None = None, tls_mock_port: int | None = None) -> Relay:
        """The gateway with everything on: a caller key, pools of three accounts, the access log as JSON."""
        port, folder = free_port(), Path(self._folder.name)
        url, more = f"http://127.0.0.1:{self.mock_port}", ""
        if tls_mock_port is not None:
            url, more = f"https://localhost:{tls_mock_port}", f'\nca_file = "{self._authority}"'
        keys = {f"BENCH_KEY_{name.upper()}": f"sk-bench-0123456789abcde{name}" for name in "abc"}
        accounts = ", ".join(f'{{ name = "{key[-1].lower()}", key_env = "{key}" }}' for key in keys)
        providers = "\n".join(
            f'[providers.up{one}]\ndialects = ["{one}"]\nbase_url = "{url}"\naccounts = [{accounts}]{more}'
            for one in PROTOCOLS
        )
        models = "\n".join(f'"{one}-*" = "up{one}/*"' for one in PROTOCOLS)
        file = folder / f"ours-{port}.toml"
        file.write_text(
            f"""
log = "json"
{providers}
[models]
{models}
[callers.bench]
key_env = "BENCH_CALLER"
"""
        )
        command = [sys.executable, *(wrapper or []), "-m", "ds2api", "serve", "--config", str(file)]
        environment = keys | {"BENCH_CALLER": CALLER_KEY}
        started = self._start([*command, "--port", str(port)], port, self.relay_core, environment)
        return Relay("ours", port, started)

    def load(
        self, port: int, client: str, model: str, connections: int, requests: int, pad: int, fields: int
    ) -> dict[str, Any]:
        """Run the load generator; raises `RuntimeError` if any answer was not right."""
        command = [str(BUILD / "load"), str(port), client, model]
        command += [str(number) for number in (connections, requests, pad, fields)] + [CALLER_KEY]
        done = subprocess.run(command, capture_output=True, check=False, preexec_fn=lambda: pin(self.other_cores))
        if done.returncode != 0:
            raise RuntimeError(
                f"{client} {model}: answers were not right: {done.stdout.decode()} {done.stderr.decode()}"
            )
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def _start(
        self, command: list[str], port: int, cores: set[int], environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        source = str(HERE.parent / "src")
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": f"{source}:{HERE.parent}", **(environment or {})},
            preexec_fn=lambda: pin(cores),
        )
        self._running.append(process)
        wait_for(port, process)
        return process


def pin(cores: set[int]) -> None:
    os.sched_setaffinity(0, cores)


def build() -> None:
    """Compile mock and load generator, if they are older than their source."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    for name in ("mock", "load"):
        source, target = HERE / f"{name}.c", BUILD / name
        if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
            continue
        if compiler is None:
            raise SystemExit(
                "The bench needs a C compiler: install one (Debian and Ubuntu: `apt install gcc libc6-dev`)."
            )
        BUILD.mkdir(exist_ok=True)
        subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", str(target), str(source)], check=True)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(2000):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.005)
    raise RuntimeError(f"{process.args!r} does not listen on {port}")
