"""The nodes under the base path: how they are named, found and made."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from kazoo import exceptions
from kazoo.protocol.states import ZnodeStat

from configkit.backends.zookeeper.requests import create_container
from configkit.backends.zookeeper.session import LostError, Session, translating


class Tree:
    """`{base}/{service}/{instance_id}`, and nothing else."""

    def __init__(self, session: Session, base: str) -> None:
        self.session = session
        self.base = "/" + base.strip("/") if base.strip("/") else ""

    def of_service(self, service: str) -> str:
        """Return the path of the node whose children are the instances."""
        return f"{self.base}/{service}"

    def of(self, service: str, instance_id: str) -> str:
        """Return the path of an instance."""
        return f"{self.base}/{service}/{instance_id}"

    def named(self, path: str) -> tuple[str, str]:
        """Return service and instance id of a path that `of` made."""
        _, service, instance_id = path.rsplit("/", 2)
        return service, instance_id

    def make_parents(self, service: str, end: float) -> None:
        """Make what is missing above an instance, as Curator does: containers, which vanish when they are empty."""
        path = ""
        for name in self.of_service(service).split("/")[1:]:
            path = f"{path}/{name}"
            self._make(path, end)

    def _make(self, path: str, end: float) -> None:
        while True:
            try:
                if self.stat(path, end) is None:
                    self._create(path, end)
            except exceptions.NodeExistsError:
                return
            except LostError:
                self.session.pause(end)
            else:
                return

    def _create(self, path: str, end: float) -> None:
        try:
            self.session.ask(end, lambda client: create_container(client, path))
        except exceptions.UnimplementedError:  # before ZooKeeper 3.5.3
            self.session.ask(end, lambda client: client.create_async(path, b""))

    def create(self, path: str, content: bytes, end: float) -> ZnodeStat:
        """Create an ephemeral node and return what it is. Raises kazoo's errors, and `LostError`."""
        _, stat = self.session.ask(end, lambda client: client.create_async(path, content, ephemeral=True, include_data=True))
        return stat

    def get(self, path: str, end: float) -> tuple[bytes, ZnodeStat]:
        """Return the content of a node and what it is. Raises kazoo's errors, and `LostError`."""
        found: tuple[bytes, ZnodeStat] = self.session.ask(end, lambda client: client.get_async(path))
        return found

    def stat(self, path: str, end: float) -> ZnodeStat | None:
        """Return what the node is; None: there is none. Raises kazoo's errors, and `LostError`."""
        return self.session.ask(end, lambda client: client.exists_async(path))

    def set(self, path: str, content: bytes, version: int, end: float) -> ZnodeStat:
        """Change a node of this version and return what it is now. Raises kazoo's errors, and `LostError`."""
        return self.session.ask(end, lambda client: client.set_async(path, content, version=version))

    def delete(self, path: str, version: int, end: float) -> None:
        """Delete a node of this version. Raises kazoo's errors, and `LostError`."""
        self.session.ask(end, lambda client: client.delete_async(path, version=version))

    def replace(self, path: str, version: int, content: bytes, end: float) -> None:
        """Put a node of ours in the place of somebody's, in one step. Raises kazoo's errors, and `LostError`."""

        def begin(client: Any) -> Any:
            transaction = client.transaction()
            transaction.delete(path, version=version)
            transaction.create(path, content, ephemeral=True)
            return transaction.commit_async()

        for result in self.session.ask(end, begin):
            if isinstance(result, Exception) and not isinstance(result, _CONSEQUENCES):
                raise result

    def remove_all(self) -> None:
        """
        Remove everything under the base path, and it: for demonstrations and tests.

        Raises:
            UnavailableError: No answer in time, or somebody goes on registering.
            AccessDeniedError: A node is somebody else's.
        """
        end = self.session.end_of_call()
        with translating("remove"):
            self._remove(self.base, end)

    def _remove(self, path: str, end: float) -> None:
        with suppress(exceptions.NoNodeError):
            for name in self.session.insist(end, lambda client: client.get_children_async(path)):
                self._remove(f"{path}/{name}", end)
            self.session.insist(end, lambda client: client.delete_async(path))


_CONSEQUENCES = (exceptions.RolledBackError, exceptions.RuntimeInconsistency)
