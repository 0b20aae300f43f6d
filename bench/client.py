"""The least that a check takes: the client alone, or a bare socket.

`python -m bench.client URL TOKEN SECONDS` calls so often until it is ended. With `--raw` the same bytes go over a
socket, without any library.

A fresh connection for each call, one TLS context for all: what a check takes at the least, whoever makes it.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import time
from urllib.parse import urlsplit

import httpx
from upstash_redis.asyncio import Redis


class _Client:
    def __init__(self, url: str, token: str) -> None:
        self._tls = httpx.create_ssl_context()
        self._redis = Redis(url, token, rest_retries=0, allow_telemetry=False)

    async def call(self) -> None:
        async with httpx.AsyncClient(verify=self._tls, timeout=None, trust_env=False) as client:
            self._redis._http._client = client
            await self._redis.execute(["PING", "bench"])


async def _go_on(client: _Client, every: float) -> None:
    while True:
        await client.call()
        await asyncio.sleep(every)


def _go_on_raw(url: str, token: str, every: float) -> None:
    host, port = urlsplit(url).hostname or "", urlsplit(url).port
    body = b'["PING","bench"]'
    head = (
        f"POST / HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    while True:
        with socket.create_connection((host, port)) as connection:
            connection.sendall(head.encode() + body)
            if not connection.recv(4096).startswith(b"HTTP/1.1 200 "):
                raise RuntimeError("the server did not answer 200")
        time.sleep(every)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.client")
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("every", type=float, metavar="SECONDS")
    parser.add_argument("--raw", action="store_true")
    asked = parser.parse_args()
    if asked.raw:
        _go_on_raw(asked.url, asked.token, asked.every)
    else:
        asyncio.run(_go_on(_Client(asked.url, asked.token), asked.every))


if __name__ == "__main__":
    main()
