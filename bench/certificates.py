"""A certificate for loopback, made on the spot, and a trust store of everyday size that knows it.

The store is certifi's list with our own authority added: making a TLS context of one certificate would be cheaper
than any user has it. The chain has an authority in the middle, as public ones have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import certifi
import trustme


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificates:
    """`chain` holds the server's key and certificates; `trusted` is for `SSL_CERT_FILE`."""

    chain: Path
    trusted: Path


def make_certificates(folder: Path) -> Certificates:
    """Write both files into `folder`."""
    authority = trustme.CA()
    chain, trusted = folder / "chain.pem", folder / "trusted.pem"
    issued = authority.create_child_ca().issue_cert("localhost", "127.0.0.1", "::1")
    issued.private_key_and_cert_chain_pem.write_to_path(chain)
    trusted.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + authority.cert_pem.bytes())
    return Certificates(chain=chain, trusted=trusted)
