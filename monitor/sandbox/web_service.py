"""What the stand-ins for the console, the status page and Railway share: faults that can be switched."""

from __future__ import annotations

from enum import Enum

from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.sandbox.server import Drip, FaultyServer, HangUp, RecordedRequest


class WebFault(Enum):
    """What a web service does instead of answering. A request that hangs is hung up on when the fault changes."""

    NONE = "none"
    HANG = "hang"
    DRIP = "drip"
    CUT = "cut"
    HTML = "html"
    NOT_JSON = "not_json"
    DEEP = "deep"
    OTHER_SHAPE = "other_shape"
    REDIRECT = "redirect"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"


_RESPONSES: dict[WebFault, Response] = {
    WebFault.DRIP: Drip(0.05),
    WebFault.CUT: HangUp(),
    WebFault.HTML: HTMLResponse("<html>Log in to this network</html>"),
    WebFault.NOT_JSON: Response('{"cut": "sho'),
    WebFault.DEEP: Response("[" * 200_000),
    WebFault.OTHER_SHAPE: Response('{"hello": ["world", null, 1]}'),
    WebFault.REDIRECT: RedirectResponse("http://127.0.0.1:1/elsewhere", 302),
    WebFault.FORBIDDEN: PlainTextResponse("Forbidden", 403),
    WebFault.NOT_FOUND: PlainTextResponse("Not Found", 404),
    WebFault.RATE_LIMITED: PlainTextResponse("Too Many Requests", 429, {"Retry-After": "7"}),
    WebFault.SERVER_ERROR: PlainTextResponse("Internal Server Error", 500),
    WebFault.UNAVAILABLE: PlainTextResponse("upstream connect error", 503),
}


class WebService(FaultyServer[WebFault]):
    """One service. `fault_of` has faults for the requests whose target or body holds a text, before `fault`."""

    def __init__(self, app: ASGIApp) -> None:
        self.fault_of: dict[str, WebFault] = {}
        super().__init__(app, WebFault.NONE)

    async def respond(self, request: RecordedRequest, scope: Scope, receive: Receive, send: Send) -> None:
        """The fault that is set for this request, or the service's own answer."""
        fault = self._fault_for(request)
        if fault is WebFault.HANG:
            await self.wait_until(lambda: self._fault_for(request) is not WebFault.HANG)
            fault = WebFault.CUT
        await _RESPONSES.get(fault, self.app)(scope, receive, send)

    def _fault_for(self, request: RecordedRequest) -> WebFault:
        text = f"{request.target} {request.body.decode('utf-8', 'replace')}"
        return next((fault for part, fault in self.fault_of.items() if part in text), self.fault)
