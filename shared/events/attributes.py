"""What CloudEvents 1.0.2 lets an attribute hold, as types that a model can use.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#type-system
Knows the specification and nothing of the fabric's events.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

_CONTROLS = r"\x00-\x1f\x7f-\x9f"
_BLANKED: Final = re.compile(f"[{_CONTROLS}]+")

# RFC 3986's URI-reference: with a scheme, or without one and then with no colon in the first segment.
# An IPv6 address stands between brackets, which are refused everywhere else.
_PLAIN = r"A-Za-z0-9._~!$&'()*+,;=@-"
_SEGMENT, _PATH, _QUERY = (rf"(?:[{more}{_PLAIN}]|%[0-9A-Fa-f]{{2}})*" for more in ("", ":/", ":/?"))
_HOST = r"(?://\[[0-9A-Fa-fv:.]+\])?"
_WHERE = rf"(?:[A-Za-z][A-Za-z0-9+.-]*:{_HOST}{_PATH}|{_SEGMENT}(?:/{_PATH})?)"
_REFERENCE = rf"^{_WHERE}(?:\?{_QUERY})?(?:#{_QUERY})?$"

_RFC3339 = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})$"
_TRACE = re.compile(r"^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")
EXTENSION_NAME = r"^[a-z0-9]{1,20}$"
MAX_INTEGER = 2**31 - 1  # CloudEvents' Integer has 32 bits


class _Rfc3339:
    """A time that is text in JSON, and exactly of RFC 3339's form; pydantic alone also takes numbers and blanks."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        aware = handler(source)
        text = core_schema.str_schema(pattern=_RFC3339)
        lenient = core_schema.datetime_schema(tz_constraint="aware", strict=False)
        return core_schema.json_or_python_schema(core_schema.chain_schema([text, lenient]), aware)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "format": "date-time", "pattern": _RFC3339}


class _Said:
    """What is said of a value that does not fit, instead of the pattern it should match."""

    def __init__(self, message: str) -> None:
        self._message = message

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        return core_schema.custom_error_schema(handler(source), "attribute", custom_error_message=self._message)


def _scalar(value: object) -> object:
    if isinstance(value, str | bool):
        return value
    if isinstance(value, int) and -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
        return value
    raise ValueError("an attribute is text, a boolean or a whole number of 32 bits")


Text = Annotated[str, Field(min_length=1, pattern=f"^[^{_CONTROLS}]+$")]
Reference = Annotated[str, Field(min_length=1, max_length=256, pattern=_REFERENCE), _Said("a URI-reference is needed")]
Moment = Annotated[AwareDatetime, _Rfc3339, _Said("a time as RFC 3339 writes it is needed, with its zone")]
Traceparent = Annotated[str, Field(pattern=_TRACE), _Said("a W3C traceparent of version 00 is needed")]
Extension = Annotated[str, Field(pattern=EXTENSION_NAME)]
Scalar = Annotated[str | bool | Annotated[int, Field(ge=-MAX_INTEGER - 1, le=MAX_INTEGER)], BeforeValidator(_scalar)]


def as_text(name: str) -> str | None:
    """Return `name` as an attribute may hold it: control characters become blanks; None when nothing is left."""
    return _BLANKED.sub(" ", name).strip() or None
