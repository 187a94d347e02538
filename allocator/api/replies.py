"""What the API answers: JSON of dataclasses, and one shape for every error."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from allocator.sessions.api import SessionRefused

log = logging.getLogger(__name__)


class ApiError(Exception):
    """A request that the API does not carry out. `code` is for programs, `message` says to people what to do."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    @classmethod
    def of(cls, refused: SessionRefused) -> "ApiError":
        """The same refusal as HTTP says it."""
        headers = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
        return cls(refused.status, refused.code, refused.message, headers)


def encode(value: object) -> str:
    """A dataclass, or a sequence of them, as JSON. Enumerations become their values."""
    return json.dumps(value, default=_plain, separators=(",", ":"))


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """`value` as a JSON response that no cache keeps."""
    return web.Response(
        text=encode(value),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def error_reply(error: ApiError) -> web.Response:
    """The one error shape: `{"error": {"code", "message"}}`."""
    return reply({"error": {"code": error.code, "message": error.message}}, error.status, error.headers)


@web.middleware
async def json_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns whatever a handler raises into the one error shape."""
    try:
        return await handler(request)
    except ApiError as error:
        return error_reply(error)
    except SessionRefused as refused:
        return error_reply(ApiError.of(refused))
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return error_reply(
            ApiError(405, "method_not_allowed", f"{request.method} is not offered here, use {allowed}.", {"Allow": allowed})
        )
    except web.HTTPRequestEntityTooLarge:
        return error_reply(ApiError(413, "too_large", "The body is larger than any request here needs."))
    except web.HTTPNotFound:
        return error_reply(ApiError(404, "not_found", f"There is no {request.path} in this API."))
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return error_reply(ApiError(500, "internal", "This failed on our side. Try again; the log says why."))
