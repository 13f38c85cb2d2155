"""The command line: what a person types, and what they read.

Each command is a function that prints and returns an exit status: 0 well, 1 not well, 2 wrong usage. Nothing
here knows how the gateway works; it starts one and says in plain words what is going on.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from ds2api import __version__
from ds2api.event_loop import run_loop

__all__ = ["main"]

_DEFAULT_FILE = "ds2api.toml"
_DEFAULT_PORT = 8787
_DIALECTS = ("chat", "responses", "messages", "gemini", "ollama", "mistral")
_DEEDS = ("drain", "rest", "revive")
_COLLECTED_AFTER = 10_000

_NOTHING_CONFIGURED = (
    f"There is no ./{_DEFAULT_FILE} and no provider key in the environment; name a file with --config FILE."
)
_EPILOG = """\
Getting started:
  ds2api serve                       no file, no key: a demo that answers at once
  OPENAI_API_KEY=… ds2api serve      serves that provider; several keys, separated by commas, make a pool
  ds2api serve --config ds2api.toml  everything else; README.md has an example to copy

Then point any OpenAI or Anthropic client at http://127.0.0.1:8787 (OpenAI SDK: …/v1).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status; never raises for what a user does."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show an ellipsis shows a question mark
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    parser = _parser()
    options = parser.parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else arguments
    command: Callable[[argparse.Namespace], int] | None = getattr(options, "run", None)
    if command is None:
        parser.print_help()
        return 2
    from ds2api.config import ConfigError

    try:
        return command(options)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `ds2api models | head`
        return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="ds2api",
        formatter_class=raw,
        description="A gateway for AI model APIs: any OpenAI or Anthropic client, any provider, one pool of accounts.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"ds2api {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        formatter_class=raw,
        help="run the gateway",
        description="Run the gateway until Ctrl-C or SIGTERM (running answers finish first).\n"
        "SIGHUP rereads the configuration; a broken one is refused and the old one goes on.",
        epilog="Where the configuration comes from, in this order: --config FILE; ./ds2api.toml if it is there;\n"
        "OPENAI_API_KEY, ANTHROPIC_API_KEY and the like in the environment; else the built-in demo.",
    )
    _add_config(serve)
    serve.add_argument("--port", type=_port, metavar="N", help=f"listen on 127.0.0.1:N (default {_DEFAULT_PORT})")
    serve.add_argument(
        "--listen",
        metavar="ADDRESS",
        action="append",
        help="HOST:PORT, unix:PATH or fd:N instead; may be repeated (sockets from systemd are found by themselves)",
    )
    serve.add_argument(
        "--open", action="store_true", help="serve other machines although no caller needs a key (dangerous)"
    )
    serve.add_argument("--demo", action="store_true", help="run the built-in demo, whatever else is configured")
    serve.add_argument("--log", choices=["text", "json", "off"], help="form of the access log (default text)")
    serve.set_defaults(run=_serve)

    check = commands.add_parser(
        "check",
        help="check a configuration without serving",
        description="Check a configuration. Exit status 0: it is right; 1: what to mend is printed, all at once.",
    )
    _add_config(check)
    check.add_argument(
        "--live", action="store_true", help="also ask each account's provider for its models: which keys work?"
    )
    check.set_defaults(run=_check)

    audit = commands.add_parser(
        "audit",
        formatter_class=raw,
        help="show where each account's key can go, and prove it",
        description="Print for every account where its key can go, and run every request path against recorders\n"
        "that stand for the providers, with marks for keys: no key is used, nothing leaves this machine.\n"
        "Exit status 0: every key went to its own origin only.",
    )
    _add_config(audit)
    audit.set_defaults(run=_audit)

    key = commands.add_parser("key", help="make a key for a caller of this gateway")
    key_commands = key.add_subparsers(title="commands", metavar="COMMAND", required=True)
    new = key_commands.add_parser(
        "new",
        help="make one, and the lines for the configuration",
        description="Make a new random key. It is shown once; the configuration holds only its hash.",
    )
    new.add_argument("name", metavar="NAME", help="who will use it, for example alice")
    new.set_defaults(run=_new_key)

    models = commands.add_parser(
        "models", help="list the models that clients may ask for", description="List the models clients may ask for."
    )
    _add_config(models)
    models.set_defaults(run=_models)

    pool = commands.add_parser(
        "pool",
        formatter_class=raw,
        help="show the accounts of a running gateway, and take one out or bring it back",
        description="Show a running gateway's pool: accounts with the headroom of their tightest limit, what runs,\n"
        "who waits in line, what is out and why. Live on a terminal (Ctrl-C ends it), else once.",
        epilog="Where the gateway is: --url; else `listen` in --config FILE or ./ds2api.toml; else 127.0.0.1:8787.\n"
        "With an [admin] key configured, put the key into DS2API_ADMIN_KEY. docs/pool.md explains what is shown.",
    )
    pool.add_argument("deed", nargs="?", choices=_DEEDS, metavar="drain | rest | revive", help="what to do to ACCOUNT")
    pool.add_argument("account", nargs="?", metavar="ACCOUNT", help='as it is shown, for example "openai/a"')
    pool.add_argument("--for", dest="seconds", type=_seconds, metavar="SECONDS", help="how long it is to rest")
    pool.add_argument("--once", action="store_true", help="print once, whole, also on a terminal")
    pool.add_argument("--json", action="store_true", help="print once, as JSON")
    pool.add_argument("--explain", metavar="MODEL", help="which account would serve MODEL now, and why no other")
    pool.add_argument("--caller", metavar="NAME", help="with --explain: for this caller (default: anonymous)")
    pool.add_argument("--url", metavar="URL", help="the gateway: http://HOST:PORT, https://… or unix:PATH")
    pool.add_argument("--key-env", metavar="NAME", help="the variable that holds the key (default DS2API_ADMIN_KEY)")
    _add_config(pool)
    pool.set_defaults(run=_pool)

    _add_bench(commands)

    config = commands.add_parser(
        "config",
        help="show every setting with its default",
        description="Print every setting with its default and its reason, as a file to start from.",
    )
    config.add_argument("--defaults", action="store_true", help="what is printed anyway; kept for scripts")
    config.set_defaults(run=_config)

    version = commands.add_parser("version", help="print the version and what it runs on")
    version.set_defaults(run=_version)
    return parser


def _add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    bench = commands.add_parser(
        "bench",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="compare gateways and providers: speed, first byte, streams, errors",
        description="Compare any gateways and providers, in turn, round after round, and doubt the figures.\n"
        "Without a URL: this gateway in front of a built-in mock model, beside the mock alone. Free; three minutes.",
        epilog="Examples:\n"
        "  ds2api bench --quick                                  a first look, half a minute\n"
        "  ds2api bench --mock 9000                              a mock model to put behind any gateway\n"
        "  ds2api bench --mock 9000 litellm=http://127.0.0.1:4000 nginx=http://127.0.0.1:8080 --html page.html\n"
        "  ds2api bench https://api.openai.com messages=https://api.anthropic.com \\\n"
        "    --model api.openai.com=gpt-4.1-mini --model api.anthropic.com=claude-haiku-4-5 --price 1,5\n"
        "A provider's usual variable (OPENAI_API_KEY, …) is found by itself. See docs/benchmarking.md.",
    )
    bench.add_argument("urls", nargs="*", metavar="URL", help="also NAME=URL, DIALECT=URL or NAME:DIALECT=URL")
    bench.add_argument("--dialect", choices=_DIALECTS, help="how all of them speak (default: found out)")
    bench.add_argument("--model", action="append", default=[], metavar="[NAME=]MODEL", help="the model, for all or one")
    bench.add_argument(
        "--key-env", action="append", default=[], metavar="[NAME=]VARIABLE", help="the variable that holds the key"
    )
    bench.add_argument("--mock", type=_port, metavar="PORT", help="run the mock model on 127.0.0.1:PORT (0: any)")
    work = bench.add_argument_group("what is asked")
    work.add_argument(
        "--work", metavar="LIST", help="of json, stream, paced (default: all; of a real model the first two)"
    )
    work.add_argument("--events", type=_count, metavar="N", help="pieces of a mock's answer (default 25, 100, 50)")
    work.add_argument("--pace-ms", type=_count, metavar="N", help="between two of them, in `paced` (default 10)")
    work.add_argument("--event-bytes", type=_count, metavar="N", help="the size of each (default 8)")
    work.add_argument("--prompt-bytes", type=_count, default=0, metavar="N", help="make the question at least so long")
    work.add_argument("--max-tokens", type=_count, default=256, metavar="N", help="an answer's limit (default 256)")
    load = bench.add_argument_group("how much, how often")
    load.add_argument("--concurrency", type=_counts, metavar="LIST", help="connections at once (1,8,64; a model: 1,4)")
    load.add_argument("--rate", type=_counts, metavar="LIST", help="instead: requests a second, sent by the clock")
    load.add_argument("--requests", type=_count, metavar="N", help="at most, each measurement (a real model: 8)")
    load.add_argument("--seconds", type=_seconds, metavar="S", help="at most, each measurement (1; a real model: 60)")
    load.add_argument("--rounds", type=_count, metavar="N", help="measurements of each place (5; a real model: 3)")
    load.add_argument("--clients", type=_count, default=1, metavar="N", help="processes that ask (default 1)")
    load.add_argument("--timeout", type=_seconds, default=60.0, metavar="S", help="for an answer (default 60)")
    load.add_argument("--quick", action="store_true", help="one step, three short rounds (with the mock only)")
    money = bench.add_argument_group("money")
    money.add_argument("--price", type=_price, metavar="IN,OUT", help="dollars a million tokens, to reckon with")
    money.add_argument("--max-cost", type=_dollars, metavar="DOLLARS", help="stop before it could cost more")
    money.add_argument("--yes", action="store_true", help="do not ask before money may be spent")
    bench.add_argument("--json", metavar="FILE", help="write everything, as JSON")
    bench.add_argument("--html", metavar="FILE", help="write one page with plots")
    bench.set_defaults(run=_bench)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", type=Path, help=f"the configuration (default ./{_DEFAULT_FILE})")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; wanted a number from 0 to 65535 (0: any free one)")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 604_800:
        raise argparse.ArgumentTypeError(f"{text!r}: wanted a number of seconds, up to a week")
    return seconds


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r}: wanted a number from 1 to 1000000")
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(one) for one in text.split(","))


def _dollars(text: str) -> float:
    try:
        dollars = float(text)
    except ValueError:
        dollars = -1.0
    if not 0 <= dollars <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r}: wanted a sum in dollars")
    return dollars


def _price(text: str) -> tuple[float, float]:
    read, mark, written = text.partition(",")
    if not mark:
        raise argparse.ArgumentTypeError(f"{text!r}: wanted two prices, for example 0.40,1.60")
    return _dollars(read), _dollars(written)


def _serve(options: argparse.Namespace) -> int:
    from ds2api.process import prepare_process

    prepare_process()
    try:
        return run_loop(_serve_until_stopped(options))
    except OSError as error:
        print(f"ds2api: cannot listen: {error.strerror or error}", file=sys.stderr)
        if error.errno in (48, 98):
            print("Is another gateway running there? Choose another port with --port N.", file=sys.stderr)
        return 1


async def _serve_until_stopped(options: argparse.Namespace) -> int:
    from ds2api.config import ConfigError
    from ds2api.handover import HandoverFailed, say_ready, start_next, take_over
    from ds2api.service import Gateway
    from ds2api.startup import adjusted, banner, load
    from ds2api.wire.listeners import inherited_descriptors

    async with AsyncExitStack() as stack:
        config, what = await load(options.config, os.environ, stack, demo=options.demo)
        sockets = take_over(os.environ)
        inherited = [f"fd:{number}" for number in inherited_descriptors(os.environ, os.getpid())]
        inherited += [address for address in sockets if address.startswith("fd:")]
        listen = options.listen or ([f"127.0.0.1:{options.port}"] if options.port is not None else inherited or None)
        config = adjusted(config, listen=listen, log=options.log)
        gateway = await stack.enter_async_context(Gateway(config, is_open=options.open, sockets=sockets))
        for warning in config.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()

        def reload() -> None:
            if options.config is None and not Path(_DEFAULT_FILE).exists():
                print("SIGHUP: there is no configuration file to read again", file=sys.stderr)
                return
            try:
                from ds2api.config import from_file

                fresh = adjusted(from_file(options.config or _DEFAULT_FILE), listen=listen, log=options.log)
                pending = gateway.reload(fresh)
            except ConfigError as error:
                print(f"SIGHUP: the new configuration is refused, the old one goes on\n{error}", file=sys.stderr)
                return
            print("SIGHUP: the new configuration is in use", *pending, sep="\n  ", file=sys.stderr)

        async def hand_over() -> None:
            print("SIGUSR2: starting the next process", file=sys.stderr)
            try:
                pid = await gateway.hand_over(lambda sockets: start_next(sockets, os.environ))
            except HandoverFailed as error:
                print(f"SIGUSR2: {error}; this process goes on", file=sys.stderr)
                return
            print(f"SIGUSR2: process {pid} serves now", file=sys.stderr)
            stopped.set()

        following: set[asyncio.Task[None]] = set()

        def follow() -> None:
            if following or stopped.is_set():
                print("SIGUSR2: the next process is being started already", file=sys.stderr)
                return
            task = loop.create_task(hand_over())
            following.add(task)
            task.add_done_callback(following.discard)

        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stopped.set)
        loop.add_signal_handler(signal.SIGHUP, reload)
        loop.add_signal_handler(signal.SIGUSR2, follow)
        # What stands after the start stays: the collector need not walk it again and again. And a request makes some
        # hundred objects that are in no ring: looking for rings after every 700 of them, as is usual, was 3 % of it.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECTED_AFTER)
        # After the handlers: whoever starts us by a script may signal as soon as it has read this.
        print(banner(gateway, what), flush=True)
        say_ready(os.environ)
        await stopped.wait()
        print("ds2api: stopping; running answers finish first", file=sys.stderr)
    return 0


def _check(options: argparse.Namespace) -> int:
    from ds2api.startup import load_file_or_environment, summary

    config = load_file_or_environment(options.config, os.environ)
    if config is None:
        print(_NOTHING_CONFIGURED, file=sys.stderr)
        return 1
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(summary(config))
    if not options.live:
        print("The configuration is right. `ds2api check --live` also tries the keys.")
        return 0
    return run_loop(_check_live(config))


async def _check_live(config: object) -> int:
    from ds2api.config import Config
    from ds2api.startup import live_table

    assert isinstance(config, Config)
    table, is_good = await live_table(config, os.environ)
    print(table)
    return 0 if is_good else 1


def _audit(options: argparse.Namespace) -> int:
    from ds2api.audit import audit, report
    from ds2api.startup import load_file_or_environment

    config = load_file_or_environment(options.config, os.environ)
    if config is None:
        print(_NOTHING_CONFIGURED, file=sys.stderr)
        return 1
    finding = asyncio.run(audit(config))  # not on uvloop, which looks up names where no audit hook hears it
    print(report(config, finding))
    return 1 if finding.problems else 0


def _new_key(options: argparse.Namespace) -> int:
    from ds2api.gateway.callers import key_hash, new_key

    if not options.name.replace("-", "").replace("_", "").isalnum():
        print("A caller's name is made of letters, digits, `-` and `_`.", file=sys.stderr)
        return 2
    key = new_key()
    print(f"The key for {options.name} (shown once; give it to them):\n\n  {key}\n")
    print("Put this into the configuration:\n")
    print(f'  [callers.{options.name}]\n  key_hash = "{key_hash(key)}"')
    return 0


def _models(options: argparse.Namespace) -> int:
    from ds2api.startup import load_file_or_environment, model_lines

    config = load_file_or_environment(options.config, os.environ)
    if config is None:
        print("demo\ndemo-mini\ndemo-over-chat\ndemo-over-messages")
        print("(the built-in demo: nothing is configured)", file=sys.stderr)
        return 0
    print("\n".join(run_loop(model_lines(config, os.environ))))
    return 0


def _pool(options: argparse.Namespace) -> int:
    from ds2api.pool_command import pool

    try:
        return pool(options, os.environ, Path(_DEFAULT_FILE), sys.stdout)
    except KeyboardInterrupt:  # the way to end it
        return 0


def _bench(options: argparse.Namespace) -> int:
    from ds2api.compare.command import bench

    return bench(options, options.arguments, os.environ, sys.stdout)


def _config(options: argparse.Namespace) -> int:
    from ds2api.settings_page import as_toml

    print(as_toml(), end="")
    return 0


def _version(options: argparse.Namespace) -> int:
    from ds2api.startup import runtime

    print(f"ds2api {__version__}\n{runtime()}")
    return 0
