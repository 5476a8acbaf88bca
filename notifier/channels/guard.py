"""Where a webhook may go: public addresses over https, and the private networks that are allowed by name.

Server-side request forgery (OWASP): who can set a webhook's URL, or the DNS record behind it, must not reach what only this
machine can reach. A name is resolved once, every address is looked at, and the connection goes to one of those that were
looked at: the record cannot change in between.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from notifier.channels.base import Refused, Unreachable, web_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) → its addresses. Raises OSError."""

_NAT64 = ip_network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether it leads to the internet, also where it is an IPv4 address in an IPv6 coat."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


async def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a host by the machine's resolver; an address is its own."""
    try:
        return [str(ip_address(host))]
    except ValueError:
        pass
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


class Guard:
    """Lets through what is public, and what lies in `allow`."""

    def __init__(self, allow: Sequence[Network] = (), lookup: Lookup = look_up) -> None:
        self._allow, self._lookup = tuple(allow), lookup

    async def addresses(self, url: str) -> tuple[str, ...]:
        """Where a connection for this URL may go. Raises Refused, or Unreachable where the name does not resolve."""
        try:
            parts = URL(url)  # as the client will read it: a host that it sees otherwise would not have been looked at
        except ValueError:
            raise Refused("not an address of http or https") from None
        host, port = parts.host, parts.port
        if web_address(url) is None or not host or port is None:
            raise Refused("not an address of http or https")
        if parts.user is not None or parts.password is not None:
            raise Refused("a user or password in the URL would be written to logs: leave it out")
        try:
            found = [ip_address(one.partition("%")[0]) for one in await self._lookup(host, port)]
        except OSError:
            raise Unreachable(f"the name {host} does not resolve") from None
        if not found:
            raise Unreachable(f"the name {host} does not resolve")
        for address in found:
            allowed = any(address in network for network in self._allow)
            if not allowed and not is_public(address):
                raise Refused(f"{host} is in a private network; if that is meant, add its network to `allow`")
            if not allowed and parts.scheme != "https":
                raise Refused(f"{host} is public: use https")
        return tuple(dict.fromkeys(map(str, found)))


class Pinned(AbstractResolver):
    """Resolves every name to the addresses that were looked at, so that a connection cannot go elsewhere."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = tuple(addresses)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


def connector(addresses: Sequence[str]) -> aiohttp.TCPConnector:
    """Connections to these addresses alone; certificates are still checked against the name."""
    return aiohttp.TCPConnector(resolver=Pinned(addresses), use_dns_cache=False, force_close=True)
