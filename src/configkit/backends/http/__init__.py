"""A deployment behind a configkit server's REST API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from configkit.ports import Backends


def open_http(url: str, *, token: str | None = None, deadline: float = 5.0, poll: float = 5.0) -> Backends:
    """
    Return the backends of the configkit server at *url*. Nothing is sent yet.

    Changes are written down under the token's name: the `Origin` of a call is not sent. Neither redirects nor the proxies
    of the environment are followed.

    Args:
        url: Where the server is, such as ``http://config.internal:8082``.
        token: The bearer token; None sends none.
        deadline: Seconds within which every call is answered.
        poll: Seconds between re-reads while the event stream is down.

    Raises:
        InvalidDocumentError: The URL or the token is malformed.
    """
    from configkit.backends.http.opening import open_backends  # noqa: PLC0415  an HTTP client takes a while to import

    return open_backends(url, token=token, deadline=deadline, poll=poll)


__all__ = ["open_http"]
