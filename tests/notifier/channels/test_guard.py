"""Where webhooks may go: server-side request forgery by address, by name, by a name that changes, by a redirect."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from aiohttp.web import Application, Response, get
from hypothesis import given
from hypothesis import strategies as st

from notifier.channels.base import Refused, Unreachable
from notifier.channels.guard import Guard, connector, is_public

PUBLIC = "93.184.215.14"


def resolving(*addresses: str) -> Guard:
    """A guard for which every name has these addresses."""

    async def lookup(host: str, port: int) -> Sequence[str]:
        return addresses

    return Guard(lookup=lookup)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/hook",
        "https://127.1/hook",
        "https://2130706433/hook",
        "https://0x7f000001/hook",
        "https://0/hook",
        "https://10.0.0.7/hook",
        "https://172.16.0.1/hook",
        "https://192.168.1.1/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/hook",
        "https://224.0.0.1/hook",
        "https://255.255.255.255/hook",
        "https://[::1]/hook",
        "https://[::]/hook",
        "https://[::ffff:127.0.0.1]/hook",
        "https://[::ffff:169.254.169.254]/hook",
        "https://[64:ff9b::7f00:1]/hook",
        "https://[2002:7f00:1::]/hook",
        "https://[fe80::1]/hook",
        "https://[fd00::1]/hook",
        "https://[2001:0:5ef5:79fd::1]/hook",
        "https://localhost/hook",
        "https://127。0。0。1/hook",
        "https://①②⑦.0.0.1/hook",
    ],
)
async def test_private_addresses_are_refused_however_they_are_written(url: str) -> None:
    with pytest.raises(Refused, match="private network"):
        await Guard().addresses(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://93.184.215.14/", "http or https"),
        ("file:///etc/passwd", "http or https"),
        ("https:///hook", "http or https"),
        ("https://93.184.215.14/\r\nHost: x", "http or https"),
        ("https://user:pw1234@93.184.215.14/", "leave it out"),
        ("https://:pw1234@93.184.215.14/", "leave it out"),
        ("https://93.184.215.14:99999/hook", "http or https"),
        ("https://93.184.215.14:x/hook", "http or https"),
        ("http://93.184.215.14/hook", "use https"),
    ],
)
async def test_other_addresses_are_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(Refused, match=why) as refused:
        await Guard().addresses(url)
    assert "pw1234" not in str(refused.value)


async def test_a_public_address_is_let_through() -> None:
    assert await Guard().addresses(f"https://{PUBLIC}/hook") == (PUBLIC,)


async def test_one_private_address_among_those_of_a_name_is_enough() -> None:
    with pytest.raises(Refused, match="private network"):
        await resolving(PUBLIC, "10.0.0.7").addresses("https://hooks.example/hook")


async def test_a_private_network_can_be_allowed_and_no_other_with_it() -> None:
    guard = Guard((ip_network("10.1.0.0/16"),))
    assert await guard.addresses("http://10.1.2.3:8080/hook") == ("10.1.2.3",)
    with pytest.raises(Refused):
        await guard.addresses("http://10.2.2.3:8080/hook")


async def test_a_name_that_does_not_resolve_can_be_tried_again() -> None:
    async def lookup(host: str, port: int) -> Sequence[str]:
        raise OSError

    with pytest.raises(Unreachable, match=r"hooks\.example"):
        await Guard(lookup=lookup).addresses("https://hooks.example/hook")


async def test_the_connection_goes_to_the_address_that_was_looked_at() -> None:
    """The name is that of a reserved domain: only what was pinned can have been connected to."""

    async def hello(request: object) -> Response:
        return Response(text="here")

    app = Application()
    app.add_routes([get("/hook", hello)])
    async with (
        TestServer(app, host="127.0.0.1") as server,
        aiohttp.ClientSession(connector=connector(("127.0.0.1",))) as session,
        session.get(f"http://rebound.invalid:{server.port}/hook") as response,
    ):
        assert await response.text() == "here"


@given(st.ip_addresses(v=4))
def test_an_ipv6_coat_changes_nothing(inner: IPv4Address) -> None:
    coats = (f"::ffff:{inner}", f"64:ff9b::{inner}")
    assert {is_public(ip_address(coat)) for coat in coats} == {is_public(inner)}


@given(st.ip_addresses())
def test_what_is_let_through_is_global(address: IPv4Address | IPv6Address) -> None:
    assert not is_public(address) or (address.is_global and not address.is_multicast and not address.is_loopback)
