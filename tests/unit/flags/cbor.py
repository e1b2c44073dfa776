"""Deterministic CBOR of what is hashed, written from RFC 8949 alone, to hold the product's shortcuts against."""


def encode(item: str | list[str]) -> bytes:
    """Return *item* as RFC 8949, section 4.2.1 wants it: each length in its shortest form."""
    if isinstance(item, str):
        content = item.encode("utf-8")
        return _head(3, len(content)) + content
    return _head(4, len(item)) + b"".join(encode(each) for each in item)


def _head(major_type: int, argument: int) -> bytes:
    if argument <= 23:
        return bytes([major_type << 5 | argument])
    for additional, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << (8 * size):
            return bytes([major_type << 5 | additional]) + argument.to_bytes(size, "big")
    raise ValueError("not encodable")
