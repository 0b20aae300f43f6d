"""The client alone: `python -m bench.client URL TOKEN COUNT` prints the CPU that it takes per 1,000 calls.

A fresh connection for each call, one TLS context for all: what a check takes at the least, whoever makes it.
It tells how fast the machine is on which the whole program was measured beside it.
"""

from __future__ import annotations

import asyncio
import sys
import time

import httpx
from upstash_redis.asyncio import Redis

_WARM_UP = 50


async def _call(url: str, token: str, count: int) -> float:
    tls = httpx.create_ssl_context()
    redis = Redis(url, token, rest_retries=0, allow_telemetry=False)
    before = 0.0
    for number in range(-_WARM_UP, count):
        if number == 0:
            before = time.process_time()
        async with httpx.AsyncClient(verify=tls, timeout=None, trust_env=False) as client:
            redis._http._client = client
            await redis.execute(["PING", "bench"])
    return (time.process_time() - before) / count * 1000


if __name__ == "__main__":
    print(asyncio.run(_call(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
