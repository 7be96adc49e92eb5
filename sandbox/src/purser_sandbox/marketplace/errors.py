"""The three error families of the marketplace: platform JSON, gateway JSON and HTML."""

from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

Family = Literal["platform", "spring", "gateway", "html"]
TITLES = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 429: "Too Many Requests", 500: "Internal Server Error",
    502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Time-out",
}  # fmt: skip


class Refused(Exception):
    """The marketplace refuses a call."""

    def __init__(
        self,
        status: int,
        message: str,
        family: Family = "platform",
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.family = status, message, family
        self.retry_after = retry_after


def error_response(
    status: int, message: str, family: Family, path: str, correlation_id: str
) -> Response:
    """One error in one of the families; `platform` is what SimpleAPI 1.1 declares, `spring`
    is what its framework leaks, `gateway` comes from API management, `html` from nginx."""
    if family == "html":
        title = f"{status} {TITLES.get(status, 'Error')}"
        page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        page += f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body></html>"
        return HTMLResponse(page, status)
    return JSONResponse(_body(status, message, family, path, correlation_id), status)


def _body(status: int, message: str, family: Family, path: str, cid: str) -> dict[str, Any]:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    if family == "gateway":
        return {"statusCode": status, "message": message}
    if family == "spring":
        title = TITLES.get(status, "Error")
        return {"timestamp": moment, "status": status, "error": title, "path": path}
    return {
        "timeStamp": moment,
        "status": status,
        "message": message,
        "path": path,
        "correlationId": cid,
    }


def refuse(request: Request, refused: Refused) -> Response:
    response = error_response(
        refused.status,
        refused.message,
        refused.family,
        marketplace_path(request.scope["path"]),
        request.scope.get("sandbox.correlation_id", ""),
    )
    if refused.retry_after is not None:
        response.headers["Retry-After"] = str(refused.retry_after)
    return response


def marketplace_path(path: str) -> str:
    """The path as the platform tells it: without the base and the region."""
    return "/" + "/".join(path.split("/")[3:])
