"""Where a request comes from, as far as one visitor can be told from another by it."""

from __future__ import annotations

import ipaddress

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def network_of(address: str) -> str:
    """What one visitor surely has to itself: an IPv4 address, or the first 64 bits of an IPv6 one."""
    found = _address(address)
    if found is None:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
    return str(found)


def network_behind_proxy(peer: str, forwarded: str) -> str:
    """The network of whoever asked the proxy `peer`, by the last entry of its X-Forwarded-For.

    That entry is the proxy's own; those before it are the visitor's, who may write anything. A peer with an
    address of the internet is no proxy of ours, and the header is not looked at.
    """
    found = _address(peer)
    if found is None or found.is_global:
        return network_of(peer)
    return network_of(forwarded.rpartition(",")[2].strip()) or network_of(peer)


def _address(text: str) -> _Address | None:
    """Some proxies write a port behind it; an IPv4 address inside an IPv6 one is what it is."""
    host = text.partition("%")[0]
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found
