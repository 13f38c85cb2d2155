"""Which proxy, for whom, by the environment."""

from __future__ import annotations

import pytest

from ds2api.wire.proxies import Proxies, Proxy


def test_no_variable_no_proxy() -> None:
    assert Proxies.from_environment({}).choose("https", "h", 443) is None


def test_a_proxy_for_each_scheme() -> None:
    proxies = Proxies.from_environment({"HTTPS_PROXY": "http://a:1", "HTTP_PROXY": "http://b:2/"})
    assert proxies.choose("https", "h", 443) == Proxy("a", 1)
    assert proxies.choose("http", "h", 80) == Proxy("b", 2)


def test_all_proxy_stands_in() -> None:
    proxies = Proxies.from_environment({"all_proxy": "a:1", "HTTP_PROXY": "b:2"})
    assert proxies.choose("https", "h", 443) == Proxy("a", 1)
    assert proxies.choose("http", "h", 80) == Proxy("b", 2)


def test_lower_case_comes_first_and_empty_is_unset() -> None:
    assert Proxies.from_environment({"https_proxy": "a:1", "HTTPS_PROXY": "b:2"}).https == Proxy("a", 1)
    assert Proxies.from_environment({"https_proxy": "", "HTTPS_PROXY": "b:2"}).https == Proxy("b", 2)


def test_a_cgi_client_cannot_name_the_proxy() -> None:
    environment = {"HTTP_PROXY": "http://evil:1", "REQUEST_METHOD": "GET"}
    assert Proxies.from_environment(environment).http is None
    assert Proxies.from_environment({**environment, "http_proxy": "good:1"}).http == Proxy("good", 1)


def test_credentials_are_sent_and_never_shown() -> None:
    proxy = Proxies.from_environment({"HTTPS_PROXY": "http://us%40er:p%3Aw@[::1]:8080"}).https
    assert proxy is not None
    assert (proxy.host, proxy.port) == ("::1", 8080)
    assert proxy.authorization == "Basic dXNAZXI6cDp3"
    assert "dXN" not in repr(proxy)


@pytest.mark.parametrize(
    "url", ["socks5://h:1", "https://h:1", "http://", "http://h:99999", "http://h:x", "http://:80"]
)
def test_an_unusable_proxy_is_refused_by_its_variable(url: str) -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY"):
        Proxies.from_environment({"HTTPS_PROXY": url})


def test_socks_for_all_is_no_error_where_it_is_not_used() -> None:
    proxies = Proxies.from_environment({"ALL_PROXY": "socks5://s:1", "HTTP_PROXY": "a:1", "HTTPS_PROXY": "b:2"})
    assert proxies.https == Proxy("b", 2)


@pytest.mark.parametrize(
    ("exceptions", "host", "port", "direct"),
    [
        ("*", "h", 443, True),
        ("example.com", "example.com", 443, True),
        ("example.com", "api.example.com", 443, True),
        (".example.com", "example.com", 443, True),
        ("*.example.com", "api.example.com", 443, True),
        ("example.com", "notexample.com", 443, False),
        ("example.com", "example.com.evil.org", 443, False),
        ("EXAMPLE.com", "Example.COM.", 443, True),
        ("a, b c", "b", 443, True),
        ("a, b c", "c", 443, True),
        ("h:8443", "h", 8443, True),
        ("h:8443", "h", 443, False),
        ("127.0.0.1", "127.0.0.1", 443, True),
        ("127.0.0.1:80", "127.0.0.1", 443, False),
        ("10.0.0.0/8", "10.1.2.3", 443, True),
        ("10.0.0.0/8", "11.1.2.3", 443, False),
        ("10.0.0.0/8", "ten.example", 443, False),
        ("::1", "::1", 443, True),
        ("[::1]", "::1", 443, True),
        ("[::1]:443", "::1", 443, True),
        ("fd00::/8", "fd12::1", 443, True),
        ("0.0.1", "127.0.0.1", 443, False),
    ],
)
def test_who_is_reached_without(exceptions: str, host: str, port: int, direct: bool) -> None:
    proxies = Proxies.from_environment({"HTTPS_PROXY": "p:1", "NO_PROXY": exceptions})
    assert (proxies.choose("https", host, port) is None) is direct


def test_a_bad_exception_is_named() -> None:
    with pytest.raises(ValueError, match=r"NO_PROXY.*h:x"):
        Proxies.from_environment({"NO_PROXY": "h:x"})
