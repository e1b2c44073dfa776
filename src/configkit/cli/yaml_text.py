"""YAML that means one thing: no doubled keys, no references, nothing but the types of JSON."""

from __future__ import annotations

from typing import Any

from configkit.errors import InvalidDocumentError, MissingExtraError

try:
    import yaml
except ModuleNotFoundError:
    raise MissingExtraError("cli", "reading and writing YAML files") from None

MAX_DEPTH = 100
_SCALARS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null"))


def dump_yaml(content: dict[str, Any]) -> str:
    """Return *content* as YAML, its keys in their order."""
    text = str(yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
    # Some rare line separators are written as they are and read as others; escaped, every character survives.
    faithful = yaml.safe_load(text) == content
    return text if faithful else str(yaml.safe_dump(content, allow_unicode=False, sort_keys=False))


def parse_yaml(text: str) -> tuple[Any, dict[str, int]]:
    """
    Return the value of YAML *text*, and the line of each key of its outermost mapping.

    Raises:
        InvalidDocumentError: It is not YAML, or says what JSON cannot: the message tells the line, never the value.
    """
    try:
        loader = _Loader(text)
    except yaml.YAMLError:
        raise InvalidDocumentError("not YAML: a character that is not allowed") from None
    try:
        node = loader.get_single_node()
        if node is None:
            return {}, {}
        _check(node)
        return loader.construct_document(node), _lines(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise InvalidDocumentError(f"{where}not YAML") from None
    except ValueError:
        raise InvalidDocumentError("not YAML: a number that cannot be read") from None
    except RecursionError:
        raise InvalidDocumentError("nested too deeply") from None
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """The safe loader, which also refuses aliases: a few of them make gigabytes of a short text."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise InvalidDocumentError(f"line {_line(event)}: no aliases; write the value out")
        return super().compose_node(parent, index)


def _check(node: yaml.Node, key: str = "", depth: int = MAX_DEPTH) -> None:
    """Refuse what JSON has no word for; *key* is the outermost one that *node* lies under."""
    if depth == 0:
        raise _refused(node, key, "nested too deeply")
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        seen: set[str] = set()
        for name, value in node.value:
            if name.tag != "tag:yaml.org,2002:str":
                raise _refused(name, key, "a key that is not text; quote it")
            if name.value in seen:
                raise _refused(name, key or name.value, "the same key twice")
            seen.add(name.value)
            _check(value, key or name.value, depth - 1)
    elif isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        for item in node.value:
            _check(item, key, depth - 1)
    elif not isinstance(node, yaml.ScalarNode) or node.tag not in _SCALARS:
        kind = node.tag.rpartition(":")[2]
        raise _refused(node, key, f"{kind} is no type of JSON; quote it to make it text")


def _refused(node: yaml.Node, key: str, why: str) -> InvalidDocumentError:
    return InvalidDocumentError(f"line {_line(node)}: {key + ': ' if key else ''}{why}")


def _lines(node: yaml.Node) -> dict[str, int]:
    return {key.value: _line(key) for key, _ in node.value} if isinstance(node, yaml.MappingNode) else {}


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1
