"""Foreign network errors get our names here, where they enter the house.

What a fault means for the database is decided in `core.classify`. No remark holds a host name or a secret.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl

from monitor.checks.observation import ProbeFault

_NOT_FOUND = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_REFUSED = {errno.ECONNREFUSED}
_UNREACHABLE = {
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
    errno.EADDRNOTAVAIL,
    errno.EACCES,
    errno.EPERM,
}
_LOST = {errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE}
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
_CUT = "the connection was cut before the answer was complete"
_ERRNO = re.compile(r"\[Errno (\d+)\]")


class WireError(Exception):
    """A check ended on the wire; carries the `Fault` and a few words without secrets or host names."""

    def __init__(self, fault: ProbeFault, remark: str) -> None:
        super().__init__(remark)
        self.fault = fault
        self.remark = remark


def lookup_error(error: socket.gaierror) -> WireError:
    """The fault of a lookup: the name does not exist, or the resolver failed."""
    if error.errno in _NOT_FOUND:
        return WireError(ProbeFault.DNS_NOT_FOUND, "the host name does not exist")
    return WireError(ProbeFault.DNS_FAILED, "the resolver failed: " + _system_words(error))


def connection_error(error: OSError) -> WireError:
    """The fault of a connection that never stood, over all addresses that were tried."""
    codes = {error.errno} if error.errno is not None else {int(code) for code in _ERRNO.findall(str(error))}
    # Of several addresses the one that got furthest tells most; IPv6 without a route says little.
    for known, fault, remark in (
        (_REFUSED, ProbeFault.REFUSED, "connection refused"),
        (_LOST, ProbeFault.LOST, "the connection was reset at once"),
        ({errno.ETIMEDOUT}, ProbeFault.CONNECT_TIMEOUT, "the system gave up connecting"),
        (_UNREACHABLE, ProbeFault.UNREACHABLE, "no route to the host"),
    ):
        if codes & known:
            return WireError(fault, remark)
    return WireError(ProbeFault.UNREACHABLE, "no connection: " + _system_words(error))


def cut_error(
    error: Exception, remark: str = "the connection was cut before the answer was complete"
) -> WireError:
    if isinstance(error, ssl.SSLError):
        return tls_error(error)
    if isinstance(error, OSError) and error.errno == errno.ECONNRESET:
        remark = remark.replace("was cut", "was reset")
    return WireError(ProbeFault.LOST, remark)


def tls_error(error: ssl.SSLError) -> WireError:
    """The fault of an encryption that failed, with OpenSSL's reason."""
    if isinstance(error, ssl.SSLCertVerificationError):
        # The text names the host, which pages must not show; the code's words are enough.
        reason = re.sub(
            r"certificate is not valid for '[^']*'", "certificate is for another name", error.verify_message
        )
        return WireError(ProbeFault.TLS, f"certificate refused: {reason}")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return WireError(ProbeFault.LOST, "the connection was cut during the TLS handshake")
    reason = (error.reason or "handshake failed").replace("_", " ").lower()
    spoke = (
        " (the other side does not speak TLS)"
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
        else ""
    )
    return WireError(ProbeFault.TLS, f"TLS: {reason}{spoke}")


def _system_words(error: OSError) -> str:
    """The system's own words for an error, which hold neither host nor secret."""
    return (error.strerror or type(error).__name__).lower()
