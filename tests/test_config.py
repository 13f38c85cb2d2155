"""The configuration: what a newcomer may write, and what they are told when it is wrong."""

from __future__ import annotations

import hashlib
import stat
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2api.accounts import AccountLimits
from ds2api.config import Config, ConfigError, from_environment, from_file, from_mapping, listens_at, setting_names
from ds2api.gateway.callers import key_hash
from ds2api.service import check_exposure
from ds2api.settings_page import as_toml

KEY = "sk-test-0123456789abcdefghij-last"
ENVIRONMENT = {"OPENAI_API_KEY": KEY, "TWO": f"{KEY}1, {KEY}2", "EMPTY": "  "}
OPENAI = {"openai": {"accounts": [{"name": "a", "key_env": "OPENAI_API_KEY"}]}}


def problems(table: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        from_mapping(table, ENVIRONMENT)
    assert KEY not in str(caught.value)
    return str(caught.value)


def test_the_five_lines_of_the_readme_are_enough() -> None:
    config = from_mapping({"providers": OPENAI, "models": {"gpt-*": "openai/*"}}, ENVIRONMENT)
    assert config.providers["openai"].endpoints["chat"].url == "https://api.openai.com/v1"
    assert [account.id for account in config.accounts] == ["openai/a"]
    assert config.listen == ("127.0.0.1:8787",)


def test_several_keys_in_one_variable_make_a_pool() -> None:
    config = from_environment({"OPENAI_API_KEY": f"{KEY}1,{KEY}2", "ANTHROPIC_API_KEY": KEY})
    assert config is not None
    assert [account.id for account in config.accounts] == ["openai/key-1", "openai/key-2", "anthropic/key"]
    assert from_environment({}) is None


def test_everything_of_the_design_is_accepted(tmp_path: Path) -> None:
    secret = tmp_path / "b"
    secret.write_text(f"{KEY}-b\n")
    secret.chmod(0o600)
    text = f"""
        listen = ["127.0.0.1:8787", "unix:{tmp_path}/ds2api.sock"]
        [limits]
        body_bytes = 33_554_432
        [timeouts]
        head_total_s = 10
        body_idle_s = 30
        keepalive_idle_s = 75
        connect_total_s = 10
        first_byte_idle_s = 300
        event_idle_s = 120
        exchange_total_s = 3600
        commit_after_s = 15
        [retries]
        max = 3
        [providers.openai]
        accounts = [
          {{ name = "a", key_env = "OPENAI_API_KEY" }},
          {{ name = "b", key_file = "{secret}", limit_group = "org-1", rpm = 500, tpm = 200_000 }},
        ]
        [providers.local]
        dialects = ["chat", "messages"]
        base_url = {{ chat = "http://127.0.0.1:8000/v1", messages = "http://127.0.0.1:8000/anthropic" }}
        accounts = [{{ name = "x", key_command = ["{sys.executable}", "-c", "print('{KEY}')"] }}]
        [models]
        "gpt-4.1" = "openai"
        "claude-*" = "local/*"
        "fast" = ["openai/gpt-4.1-mini", "local/claude-haiku-4-5"]
        "mixtral" = {{ targets = ["local/open-mixtral-8x22b"], losses = "refuse" }}
        [callers.alice]
        key_hash = "{key_hash("k")}"
        patience_s = 10
        [admin]
        key_hash = "{key_hash("admin")}"
    """
    path = tmp_path / "ds2api.toml"
    path.write_text(text)
    config = from_file(path, ENVIRONMENT)
    assert config.deadlines.event_idle_s == 120
    assert config.accounts[1].limits.rpm == 500
    assert config.providers["local"].endpoints["messages"].base_path == "/anthropic/v1"
    assert config.routes[3].losses == "refuse"
    assert config.callers[0][1].name == "alice"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, ["no provider is configured", "[providers.openai]"]),
        ({"provider": OPENAI}, ["provider: there is no such setting; did you mean `providers`?"]),
        ({"providers": {"opnai": {"accounts": []}}}, ["providers.opnai", "base_url", "did you mean", "openai"]),
        ({"providers": {"openai": {}}}, ["providers.openai.accounts: is missing", "OPENAI_API_KEY"]),
        ({"providers": {"openai": {"accounts": [{"name": "a"}]}}}, ["accounts[0]: found none, wanted exactly one"]),
        (
            {"providers": {"openai": {"accounts": [{"key_env": "MISSING"}]}}},
            ["providers.openai.accounts[0].key_env", "MISSING is not set"],
        ),
        ({"providers": {"openai": {"accounts": [{"key_env": "EMPTY"}]}}}, ["EMPTY is set, but empty"]),
        ({"providers": {"openai": {"accounts": [{"key_env": KEY}]}}}, ["does the key itself stand there?"]),
        ({"providers": {"openai": {"accounts": [{"key_file": KEY}]}}}, ["cannot be read"]),
        ({"providers": {"openai": {"accounts": [KEY]}}}, ["wanted a list like"]),
        ({"providers": {"openai": {"accounts": [{"key": KEY, "key_env": "X"}]}}}, ["found key and key_env"]),
        ({"providers": {"openai": {"accounts": [{"key_env": "OPENAI_API_KEY", "rpm": -1}]}}}, ["rpm: found -1"]),
        ({"providers": OPENAI, "timeouts": {"head_s": 1}}, ["timeouts.head_s", "did you mean `head_total_s`?"]),
        ({"providers": OPENAI, "timeouts": {"head_total_s": "ten"}}, ["found 'ten', wanted a number of at least"]),
        ({"providers": OPENAI, "limits": {"body_bytes": 1.5}}, ["found 1.5, wanted a whole number"]),
        ({"providers": OPENAI, "models": {"m": "opena/x"}}, ["no provider 'opena'; did you mean 'openai'?"]),
        ({"providers": OPENAI, "models": {"m": 3}}, ['models."m": found 3']),
        ({"providers": OPENAI, "models": {"m": {"targets": ["openai"], "losses": "maybe"}}}, ["losses: found 'maybe'"]),
        ({"providers": OPENAI, "callers": {"a": {"key_hash": KEY}}}, ["callers.a.key_hash", "64 hexadecimal digits"]),
        ({"providers": OPENAI, "callers": {"a": {}}}, ["exactly one of key_hash"]),
        ({"providers": OPENAI, "listen": "8787"}, ["listen: found '8787'"]),
        ({"providers": OPENAI, "log": "loud"}, ["log: found 'loud'"]),
        (
            {"providers": {"x": {"dialects": ["chat"], "base_url": "https://h/v1/chat/completions", "auth": "none"}}},
            ["names the endpoint itself; write the base URL, 'https://h/v1'"],
        ),
        ({"providers": {"x": {"dialects": ["chat"], "base_url": "h:1", "auth": "none"}}}, ["is not an http"]),
        (
            {"providers": {"x": {"dialects": ["cha"], "base_url": "http://h", "auth": "none"}}},
            ["found 'cha'", '"chat"'],
        ),
        (
            {
                "providers": {
                    "x": {"dialects": ["chat"], "base_url": "http://h", "headers": {"host": "x"}, "auth": "none"}
                }
            },
            ["headers.host: this header is the gateway's own"],
        ),
        ({"providers": OPENAI, "secret_env": "OPENAI_API_KEYS"}, ["OPENAI_API_KEYS is not set"]),
        ({"providers": OPENAI, "pool": {"state_file": 3}}, ["pool.state_file: found 3, wanted a text"]),
        ({"providers": OPENAI, "pool": {"cool_most_s": float("inf")}}, ["pool.cool_most_s: found inf"]),
        ({"providers": OPENAI, "pool": {"cool_frist_s": 1}}, ["did you mean `cool_first_s`?"]),
    ],
)
def test_a_wrong_line_says_where_what_and_what_instead(table: dict[str, Any], words: list[str]) -> None:
    said = problems(table)
    for word in words:
        assert word in said


def pool_of(*accounts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A configuration of one provider, "x"; accounts without a key of their own get one each."""
    listed = [
        {"name": "abcdefgh"[number], **({} if "key_env" in account else {"key": f"{KEY}-{number}"}), **account}
        for number, account in enumerate(accounts)
    ]
    return {"providers": {"x": {"dialects": ["chat"], "base_url": "http://h", "accounts": listed, **more}}}


def test_an_accounts_limits_beat_the_providers_word_by_word() -> None:
    config = from_mapping(
        pool_of(
            {"rpm": 5, "models": {"gpt-5*": {"tpm": 7}}},
            {"itpm": 10, "otpm": 20, "rpd": 30, "concurrency": 4, "priority": 2, "weight": 0, "tags": ["eu", "paid"]},
            limits={"rpm": 100, "tpm": 1000, "models": {"gpt-5*": {"tpm": 9}, "gpt-4.1*": {"rpm": 50}}},
            day_zone="America/Los_Angeles",
        ),
        {},
    )
    a, b = config.accounts
    assert a.limits == AccountLimits(rpm=5, tpm=1000)
    assert dict(a.model_limits) == {
        "gpt-5*": AccountLimits(rpm=5, tpm=7),
        "gpt-4.1*": AccountLimits(rpm=50, tpm=1000),
    }
    assert b.limits == AccountLimits(rpm=100, tpm=1000, itpm=10, otpm=20, rpd=30, concurrency=4)
    assert dict(b.model_limits)["gpt-5*"].tpm == 9
    assert (b.priority, b.weight, b.tags) == (2, 0, frozenset(("eu", "paid")))
    assert (a.priority, a.weight, a.tags, a.day_zone) == (0, 1, frozenset(), "America/Los_Angeles")


def test_gemini_counts_its_days_in_california() -> None:
    config = from_mapping({"providers": {"gemini": {"accounts": [{"key": KEY}]}, **OPENAI}}, ENVIRONMENT)
    assert [account.day_zone for account in config.accounts] == ["America/Los_Angeles", "UTC"]


def test_callers_and_models_say_what_the_pool_needs() -> None:
    table = pool_of({"tags": ["paid"]}, {})
    table["models"] = {"m": {"targets": ["x/m"], "hedge": True, "rescue": True, "tags": ["paid"]}, "n": "x"}
    table["callers"] = {"a": {"key_hash": key_hash("k"), "weight": 3, "tags": ["paid"], "patience_s": 2}}
    config = from_mapping(table, {})
    m, n = config.routes
    assert (m.hedge, m.rescue, m.tags, n.hedge, n.rescue, n.tags) == (True, True, {"paid"}, False, False, set())
    caller = config.callers[0][1]
    assert (caller.weight, caller.tags, caller.patience_s) == (3, {"paid"}, 2)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pool_of({"key": KEY}, {"key": KEY}), ["accounts[1]", "same key as providers.x.accounts[0]", "list it once"]),
        (pool_of({"key": KEY}, {"key_env": "OPENAI_API_KEY"}), ["accounts[1]: has the same key"]),
        (
            {"providers": {**pool_of({"key": KEY})["providers"], "y": pool_of({"key": KEY})["providers"]["x"]}},
            ["providers.y: y/a has the same key at the same URL as x/a"],
        ),
        (pool_of({"weight": 0}, {"weight": 0}), ["providers.x.accounts: every weight is 0"]),
        (pool_of({"weight": -1}), ["accounts[0].weight: found -1, wanted a number from 0 to 1,000"]),
        (pool_of({"rpm": 0}), ["rpm: found 0, wanted a number from 0.001"]),
        (pool_of({"tpm": 10**300}), ["tpm: found …", "wanted a number from 1 to 1,000,000,000,000"]),
        (pool_of({"itpm": float("nan")}), ["itpm: found nan"]),
        (pool_of({"rpd": 1.5}), ["rpd: found 1.5, wanted a whole number"]),
        (pool_of({"concurrency": 0}), ["concurrency: found 0, wanted a whole number from 1"]),
        (pool_of({"priority": -1}), ["priority: found -1"]),
        (pool_of({"tags": "paid"}), ["tags: found 'paid', wanted a list of texts"]),
        (pool_of({"rmp": 5}), ["accounts[0].rmp", "did you mean `rpm`?"]),
        (pool_of({"models": {"m": {"rpn": 5}}}), ['accounts[0].models."m".rpn', "did you mean `rpm`?"]),
        (pool_of({"models": {"m": 5}}), ['accounts[0].models."m": found 5, wanted limits like']),
        (pool_of({}, limits={"tpn": 5}), ["providers.x.limits.tpn", "did you mean `tpm`?"]),
        (pool_of({}, limits={"tpm": -5}), ["providers.x.limits.tpm: found -5"]),
        (pool_of({}, day_zone="Mars/Olympus"), ["providers.x.day_zone: 'Mars/Olympus' is no time zone"]),
        (pool_of({}, day_zone="../../etc/passwd"), ["day_zone", "is no time zone"]),
        (
            pool_of({"tags": ["paid"]}) | {"models": {"m": {"targets": "x", "tags": ["payed"]}}},
            ["did you mean 'paid'?"],
        ),
        (
            pool_of({"tags": ["paid"]}, {"tags": ["eu"]}) | {"models": {"m": {"targets": "x", "tags": ["eu", "paid"]}}},
            ["models.\"m\".tags: target 'x' could never serve: no account of x carries 'eu' and 'paid'"],
        ),
        (pool_of({}) | {"models": {"m": {"targets": "x", "hedge": 1}}}, ['models."m".hedge: found 1, wanted true']),
        (
            pool_of({}) | {"callers": {"a": {"key_hash": key_hash("k"), "tags": ["paid"]}}},
            ["callers.a.tags: nobody could serve a: no account carries 'paid'; tags there: none"],
        ),
        (pool_of({}) | {"callers": {"a": {"key_hash": key_hash("k"), "weight": 0}}}, ["callers.a.weight: found 0"]),
        (pool_of({}) | {"callers": {"a": {"key_hash": key_hash("k"), "patience_s": 1e9}}}, ["patience_s: found 1"]),
    ],
)
def test_a_pool_that_cannot_work_is_refused(table: dict[str, Any], words: list[str]) -> None:
    said = problems(table)
    for word in words:
        assert word in said


def test_one_key_in_two_protocols_of_one_server_is_told() -> None:
    providers = pool_of({"key": KEY})["providers"]
    providers["y"] = {**providers["x"], "dialects": ["messages"]}
    warnings = from_mapping({"providers": providers}, {}).warnings
    assert len(warnings) == 1
    assert "y/a shows the same key to the same server as x/a" in warnings[0]
    assert KEY not in warnings[0]


@pytest.mark.parametrize(
    ("setting", "environment", "path"),
    [
        ("auto", {"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/ds2api/{hash}.json"),
        ("auto", {"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/ds2api/{hash}.json"),
        ("auto", {"HOME": "/h"}, "/h/.local/state/ds2api/{hash}.json"),
        ("auto", {}, None),
        ("off", {"HOME": "/h"}, None),
        ("/x/state.json", {}, "/x/state.json"),
    ],
)
def test_where_the_state_is_kept(setting: str, environment: dict[str, str], path: str | None, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f'[pool]\nstate_file = "{setting}"\n[providers.ollama]\n')
    hashed = hashlib.sha256(str(file).encode()).hexdigest()[:16]
    found = from_file(file, environment).state_path
    assert found == (None if path is None else Path(path.format(hash=hashed)))


def test_without_a_file_no_state_is_kept_unless_asked() -> None:
    home = {"HOME": "/h", "OPENAI_API_KEY": KEY}
    environment = from_environment(home)
    assert environment is not None
    assert environment.state_path is None
    assert from_mapping({"providers": OPENAI}, home).state_path is None
    assert from_mapping({"providers": OPENAI, "pool": {"state_file": "/x"}}, home).state_path == Path("/x")


def test_where_it_listens_is_read_without_a_key(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('listen = "127.0.0.1:99"\n[providers.openai]\naccounts = [{ key_env = "NOT_SET_HERE" }]\n')
    assert listens_at(path) == (("127.0.0.1:99",), None)
    path.write_text("listen = 3\n")
    with pytest.raises(ConfigError, match="listen: found 3"):
        listens_at(path)


def test_all_problems_are_told_at_once() -> None:
    said = problems({"provders": {}, "log": 3, "models": {"m": "nowhere"}, "timeouts": {"x": 1}})
    assert "4 problems" in said or "5 problems" in said
    assert said.count("\n") >= 4


@pytest.mark.parametrize("text", ["listen = ", "[providers", "a = 1\na = 2"])
def test_broken_toml_names_file_and_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"broken\.toml(.|\n)*(line \d|end of document)"):
        from_file(path, {})


def test_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        from_file(tmp_path / "nowhere.toml", {})


def test_key_in_a_file_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f'[providers.openai]\naccounts = [{{ name = "a", key = "{KEY}" }}]\n')
    path.chmod(0o644)
    assert "others on this machine can read" in from_file(path, {}).warnings[0]
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert from_file(path, {}).warnings == ()


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("https://h", "/v1"),
        ("https://h/", "/v1"),
        ("https://h/v1", "/v1"),
        ("https://h/v1/", "/v1"),
        ("https://h//v1//", "/v1"),
        ("https://h/compat/v1", "/compat/v1"),
        ("https://h/v1beta", "/v1beta"),
        ("https://h/v1beta/openai", "/v1beta/openai"),
        ("https://h/api/paas/v4", "/api/paas/v4"),
    ],
)
def test_base_urls_in_every_spelling_lead_to_one_path(base_url: str, path: str) -> None:
    table = {"providers": {"x": {"dialects": ["chat"], "base_url": base_url, "auth": "none"}}}
    assert from_mapping(table, {}).providers["x"].endpoints["chat"].base_path == path


def exposed(listen: str, callers: dict[str, Any] | None = None) -> Config:
    return from_mapping({"listen": listen, "providers": OPENAI, "callers": callers or {}}, ENVIRONMENT)


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "192.0.2.7:80", "gateway.example:80"])
def test_open_to_the_world_only_on_purpose(listen: str) -> None:
    with pytest.raises(ConfigError, match="anyone could spend your accounts"):
        check_exposure(exposed(listen), is_open=False)
    check_exposure(exposed(listen), is_open=True)
    check_exposure(exposed(listen, {"a": {"key_hash": key_hash("k")}}), is_open=False)


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1", "unix:/x", "fd:3"])
def test_loopback_needs_no_caller_key(listen: str) -> None:
    check_exposure(exposed(listen), is_open=False)


def test_printed_settings_are_a_configuration_that_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "defaults.toml"
    path.write_text(as_toml() + '\n[providers.openai]\naccounts = [{ name = "a", key_env = "OPENAI_API_KEY" }]\n')
    printed, plain = from_file(path, ENVIRONMENT), from_mapping({"providers": OPENAI}, ENVIRONMENT)
    for room in ("limits", "timeouts", "deadlines", "retries", "policy"):
        assert getattr(printed, room) == getattr(plain, room)


def test_every_setting_is_printed_with_its_reason() -> None:
    lines = as_toml().splitlines()
    for table in ("limits", "timeouts", "retries", "pool"):
        for name in setting_names(table):
            at = next(index for index, line in enumerate(lines) if line.startswith(f"{name} = "))
            while not lines[at - 1].startswith(("# ", "[")):  # settings that belong together share theirs
                at -= 1
            assert lines[at - 1].startswith("# "), f"{table}.{name} has no reason"


def test_the_example_of_the_pools_page_is_a_configuration() -> None:
    text = (Path(__file__).parent.parent / "docs" / "pool.md").read_text(encoding="utf-8")
    table = tomllib.loads(text.partition("```toml")[2].partition("```")[0].replace("sha256:…", key_hash("k")))
    keys = {f"KEY_{name}": f"{KEY}-{name}" for name in ("FREE", "WORK", "LAB", "PAID")}
    accounts = {account.id: account for account in from_mapping(table, keys).accounts}
    assert accounts["openai/work"].limits_for("gpt-4.1-mini") == AccountLimits(rpm=100, tpm=200_000)
    assert accounts["openai/work"].group == accounts["openai/lab"].group
    assert accounts["openai/paid"].priority == 1


def test_settings_page_of_the_documentation_is_the_printed_one() -> None:
    page = (Path(__file__).parent.parent / "docs" / "settings.md").read_text(encoding="utf-8")
    assert as_toml() in page, "run: python3 tools/dev.py docs"


WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
TABLES = ["listen", "providers", "models", "callers", "limits", "timeouts", "retries", "admin", "tls", "pool"]


@given(
    st.dictionaries(st.sampled_from(TABLES), WILD, max_size=4), st.dictionaries(st.text(max_size=6), WILD, max_size=2)
)
def test_no_table_breaks_the_reader(table: dict[str, Any], account: dict[str, Any]) -> None:
    table.setdefault("providers", {"openai": {"accounts": [account]}})
    try:
        from_mapping(table, ENVIRONMENT)
    except ConfigError as error:
        assert error.problems
