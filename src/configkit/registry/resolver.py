"""Host names to addresses that may be called, under a deadline."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from configkit.calls import Calls
from configkit.errors import UnavailableError
from configkit.registry.addresses import Address, AddressPolicy, check_address, check_url_host, literal, refusal

_ADMISSION_SECONDS = 1.0


class NotResolvedError(Exception):
    """A host has no address that may be called; the text is a short reason."""


class ForbiddenAddressError(NotResolvedError):
    """A host has an address that may not be called."""


class Resolver:
    """
    Resolves on threads of its own: ``getaddrinfo`` knows no deadline, and a name server that hangs must not hold
    anything else.

    Args:
        policy: Which addresses may be called.
        workers: Look-ups at once; those waiting beyond a few are refused.
    """

    def __init__(self, policy: AddressPolicy, *, workers: int = 8) -> None:
        self.policy = policy
        self._calls = Calls(workers=workers, waiting=8 * workers)

    def resolve(self, host: str, port: int, *, deadline: float) -> tuple[Address, ...]:
        """
        Return the addresses of *host*, all of which may be called; connect to these, and do not resolve again.

        Args:
            deadline: Seconds.

        Raises:
            ForbiddenAddressError: At least one may not be called.
            NotResolvedError: There is none, or no answer in time.
        """
        try:
            spelled = literal(host)
        except ValueError:
            raise NotResolvedError("name not resolved") from None
        addresses = (spelled,) if spelled is not None else self._look_up(host, port, deadline)
        for address in addresses:
            if reason := check_address(address, self.policy):
                raise ForbiddenAddressError(reason)
        return addresses

    def admit(self, url: str, *, pointer: str = "/health_check_url") -> None:
        """
        Refuse a health check URL whose host is, or resolves to, an address that may not be called.

        A name that does not resolve (within a second) is admitted: it is judged again at every check. Blocks.

        Raises:
            InvalidDocumentError: It may not be called.
        """
        check_url_host(url, self.policy, pointer=pointer)
        parts = urlsplit(url)
        try:
            self.resolve(parts.hostname or "", parts.port or 80, deadline=_ADMISSION_SECONDS)
        except ForbiddenAddressError as error:
            raise refusal(str(error), pointer=pointer) from None
        except NotResolvedError:
            return

    def close(self) -> None:
        """End the threads that have nothing to do; one that hangs in a look-up ends with the process."""
        self._calls.close(within=0.1)

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._calls.after_fork()

    def _look_up(self, host: str, port: int, deadline: float) -> tuple[Address, ...]:
        try:
            answers = self._calls.run_within(deadline, socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, UnavailableError):
            raise NotResolvedError("name not resolved") from None
        found = (ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers)
        return tuple(dict.fromkeys(found))
