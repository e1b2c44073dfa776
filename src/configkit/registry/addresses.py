"""
Which addresses a health check may call.

A health check URL comes from whoever may register, and the server calls it: without a rule that reaches whatever the
server reaches. Never allowed, in any spelling: link-local, metadata services, multicast, unspecified, broadcast and
reserved addresses; loopback only where the server itself listens on loopback only; private networks are allowed.

Sources: the IANA special-purpose address registries (RFC 6890), RFC 6052 and 8215 (NAT64), RFC 3056 (6to4), RFC 4380
(Teredo), RFC 5214 (ISATAP), RFC 2765 (translated), the WHATWG URL standard, "IPv4 parser" (spellings of IPv4).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from configkit.errors import InvalidDocumentError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """
    Return the networks written in *texts*, such as ``10.0.0.0/8``.

    Raises:
        InvalidDocumentError: One of them is no network.
    """
    try:
        return tuple(ip_network(text.strip()) for text in texts)
    except ValueError:
        raise InvalidDocumentError("networks such as 10.0.0.0/8 or fd00::/8, without host bits") from None


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """
    What narrows or widens the rule.

    Attributes:
        loopback: The server itself listens on loopback only, so that loopback addresses may be called.
        allowed: If given, only addresses of these networks may be called.
        denied: Addresses of these networks may not be called.
    """

    loopback: bool = False
    allowed: tuple[Network, ...] | None = None
    denied: tuple[Network, ...] = ()


# In order: the first that matches names the reason.
_NEVER: tuple[tuple[str, tuple[Network, ...]], ...] = (
    ("metadata", networks(("169.254.169.254/32", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
                           "fd00:ec2::/32", "fd20:ce::254/128"))),
    ("unspecified", networks(("0.0.0.0/8", "::/128"))),
    ("link-local", networks(("169.254.0.0/16", "fe80::/10"))),
    ("multicast", networks(("224.0.0.0/4", "ff00::/8"))),
    ("broadcast", networks(("255.255.255.255/32",))),
    ("reserved", networks(("240.0.0.0/4", "192.0.0.0/24"))),
)  # fmt: skip
_LOOPBACK = networks(("127.0.0.0/8", "::1/128"))
_IPV6_IN_USE = networks(("::1/128", "2000::/3", "fc00::/7"))

_LAST_32_BITS = networks(("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")


def check_address(address: str | Address, policy: AddressPolicy) -> str | None:
    """
    Return why *address* may not be called, or None if it may.

    An IPv6 address that carries an IPv4 one is judged by what it carries.

    Args:
        address: An IP address; a text in its plain spelling (a scope such as ``%eth0`` is ignored).
    """
    ip = ip_address(address.partition("%")[0]) if isinstance(address, str) else address
    carried = tuple(_embedded(ip)) if isinstance(ip, IPv6Address) else ()
    if policy.denied and any(_within(one, policy.denied) for one in (ip, *carried)):
        return "denied address"
    for one in carried or (ip,):
        if reason := _forbidden(one, policy):
            return reason
    return None


def _forbidden(ip: Address, policy: AddressPolicy) -> str | None:
    for kind, ranges in _NEVER:
        if _within(ip, ranges):
            return f"{kind} address"
    if not policy.loopback and _within(ip, _LOOPBACK):
        return "loopback address"
    if isinstance(ip, IPv6Address) and not _within(ip, _IPV6_IN_USE):
        return "reserved address"
    if policy.allowed is not None and not _within(ip, policy.allowed):
        return "address outside the allowed networks"
    return None


def _within(ip: Address, ranges: Iterable[Network]) -> bool:
    return any(ip.version == network.version and ip in network for network in ranges)


def _embedded(ip: IPv6Address) -> Iterator[Address]:
    """Yield the IPv4 addresses that *ip* carries, by every scheme that a network may translate or tunnel."""
    number = int(ip)
    if number > 1 and _within(ip, _LAST_32_BITS):
        yield IPv4Address(number & 0xFFFFFFFF)
    elif ip in _LOCAL_NAT64:
        yield from _local_nat64(number)
    elif ip in _SIX_TO_FOUR:
        yield IPv4Address(number >> 80 & 0xFFFFFFFF)
    elif ip in _TEREDO:
        yield IPv4Address(number >> 64 & 0xFFFFFFFF)
        yield IPv4Address(~number & 0xFFFFFFFF)
    elif number >> 32 & 0xFCFFFFFF == 0x00005EFE:  # ISATAP interface identifier, global or local
        yield ip
        yield IPv4Address(number & 0xFFFFFFFF)


def _local_nat64(number: int) -> Iterator[IPv4Address]:
    """Yield what lies where RFC 6052 section 2.2 puts it for prefixes of 48, 56, 64 and 96 bits; 0.x only if nothing else does."""
    places = (
        (number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF,
        (number >> 64 & 0xFF) << 24 | number >> 32 & 0xFFFFFF,
        number >> 24 & 0xFFFFFFFF,
        number & 0xFFFFFFFF,
    )
    yield from (IPv4Address(place) for place in [place for place in places if place >> 24] or [0])


def literal(host: str) -> Address | None:
    """
    Return the IP address that *host* spells, in any spelling that some resolver accepts; None: it is a name.

    Raises:
        ValueError: It ends like an IPv4 address but is none, or contains what no host name does.
    """
    host = host.removesuffix(".")
    if ":" in host:
        return IPv6Address(host)
    if not re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})", host) or ".." in host:
        raise ValueError("not a host name")
    parts = host.split(".")
    if not re.fullmatch(r"[0-9]+|0[xX][0-9A-Fa-f]*", parts[-1]):
        return None
    *heads, last = [_number(part) for part in parts]
    if len(heads) > 3 or any(head > 255 for head in heads) or last >= 256 ** (4 - len(heads)):
        raise ValueError("not an IPv4 address")
    return IPv4Address(last + sum(head << 24 - 8 * place for place, head in enumerate(heads)))


def _number(part: str) -> int:
    if part[:2] in ("0x", "0X"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if part.startswith("0") and len(part) > 1 else 10)


def is_localhost(host: str) -> bool:
    """Return whether *host* is a name of loopback by RFC 6761, section 6.3, or by a usual hosts file."""
    name = host.lower().removesuffix(".")
    return name in ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback") or name.endswith(".localhost")


def check_url_host(url: str, policy: AddressPolicy, *, pointer: str = "/health_check_url") -> None:
    """
    Refuse a URL whose host is written as an address that may not be called; names are judged once they are resolved.

    Raises:
        InvalidDocumentError: The address may not be called, or is none.
    """
    host = urlsplit(url).hostname or ""
    try:
        address = literal(host)
    except ValueError:
        raise InvalidDocumentError("the host is neither a name nor an address", pointer=pointer) from None
    if address is None and is_localhost(host):
        address = IPv4Address("127.0.0.1")
    if address is not None and (reason := check_address(address, policy)):
        raise refusal(reason, pointer=pointer)


def refusal(reason: str, *, pointer: str = "/health_check_url") -> InvalidDocumentError:
    """Return the error for a URL that may not be called."""
    return InvalidDocumentError(f"health checks may not call a {reason}; register one that they may", pointer=pointer)
