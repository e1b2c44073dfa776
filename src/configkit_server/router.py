"""
From a raw request path to an operation.

The path is matched as it came over the wire: decoded first, ``a%2Fhistory`` would name another resource than the caller
meant, and ``%2e%2e`` would climb. Parameters are decoded once, strictly, by whoever reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote

from starlette.types import Scope

from configkit_server.operations import Operation
from configkit_server.problems import METHOD_NOT_ALLOWED, NO_SUCH_PATH, ProblemError

_PARAMETER = b"{}"


class _Node:
    __slots__ = ("children", "operations", "parameter", "slash")

    def __init__(self) -> None:
        self.children: dict[bytes, _Node] = {}
        self.parameter: _Node | None = None
        self.operations: dict[str, Operation] = {}
        self.slash = True


Methods = Mapping[str, Operation]


class Router:
    """Finds operations by method and raw path."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        root = _Node()
        for operation in operations:
            _insert(root, operation)
        _share(root)
        self._root = root
        self._fixed: dict[bytes, Methods] = {}
        _collect(root, b"", self._fixed)

    def find(self, method: str, path: bytes) -> tuple[Operation, list[bytes]]:
        """
        Return the operation and the raw segments of *path*.

        Raises:
            ProblemError: 404 if no operation has this path, 405 with ``Allow`` if none of those has this method.
        """
        methods = self._fixed.get(path)
        segments = path.split(b"/")
        if methods is None:
            methods = self._search(segments)
        operation = methods.get(method)
        if operation is None:
            raise _refuse(methods)
        return operation, segments

    def _search(self, segments: list[bytes]) -> Methods:
        node = self._root
        slashed = len(segments) > 2 and not segments[-1]
        for segment in segments[1 : len(segments) - slashed]:
            found = node.children.get(segment) or (node.parameter if segment else None)
            if found is None:
                return {}
            node = found
        return {} if slashed and not node.slash else node.operations


def raw_path(scope: Scope) -> bytes:
    """Return the path of a request as it came over the wire, below where the application is mounted."""
    path: bytes | None = scope.get("raw_path")
    path = quote(scope["path"], safe="/:@!$&'()*+,;=~").encode() if path is None else path.partition(b"?")[0]
    root = scope.get("root_path", "").encode()
    if root and (path == root or path.startswith(root + b"/")):
        path = path[len(root) :]
    return path or b"/"


def _insert(root: _Node, operation: Operation) -> None:
    node = root
    for part in operation.segments:
        if part.startswith("{"):
            node.parameter = node.parameter or _Node()
            node.parameter.slash = False
            node = node.parameter
        else:
            node = node.children.setdefault(part.encode(), _Node())
    node.operations[operation.method] = operation


def _share(node: _Node) -> None:
    """Give a fixed segment what its parameter sibling has: a key may be named like an action."""
    if node.parameter is not None:
        for child in node.children.values():
            _merge(child, node.parameter)
    for child in (*node.children.values(), *([node.parameter] if node.parameter else [])):
        _share(child)


def _merge(into: _Node, other: _Node) -> None:
    for method, operation in other.operations.items():
        into.operations.setdefault(method, operation)
    for segment, child in other.children.items():
        _merge(into.children.setdefault(segment, _Node()), child)


def _collect(node: _Node, path: bytes, fixed: dict[bytes, Methods]) -> None:
    if node.operations:
        fixed[path] = node.operations
        if node.slash:
            fixed[path + b"/"] = {m: operation for m, operation in node.operations.items() if not operation.is_item}
    for segment, child in node.children.items():
        _collect(child, path + b"/" + segment, fixed)


def _refuse(methods: Methods) -> ProblemError:
    if not methods:
        return ProblemError(NO_SUCH_PATH, "no such path; /openapi.json lists them all")
    # Of a path with a name of its own, that name's methods: what an item called like it answers is documented elsewhere.
    own = [method for method, operation in methods.items() if not operation.is_item]
    allowed = ", ".join(sorted(own or methods))
    return ProblemError(METHOD_NOT_ALLOWED, f"this path answers {allowed}", headers=[(b"allow", allowed.encode())])
