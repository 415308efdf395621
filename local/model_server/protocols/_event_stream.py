"""AWS's event-stream framing: a prelude, headers, a payload, and a checksum behind each of prelude and message.

https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html. Knows bytes only.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Mapping

_TEXT = 7  # the type of a header's value
_AROUND = 16  # bytes of prelude and checksums


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Return a message's bytes."""
    told = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", len(told) + len(payload) + _AROUND, len(told))
    begun = prelude + struct.pack("!I", crc32(prelude)) + told + payload
    return begun + struct.pack("!I", crc32(begun))


def _header(name: str, value: str) -> bytes:
    return struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", _TEXT, len(value)) + value.encode()
