"""The XML of an MRD header from whoever sent it: bounded, without entities, and of the schema's types."""

from __future__ import annotations

import functools
import logging
import re
from typing import Any
from xml.parsers import expat

from mrsim.errors import FormatError
from mrsim.formats import require_ismrmrd

MAX_XML_BYTES = 1 << 20
MAX_XML_DEPTH = 32
MAX_XML_ELEMENTS = 20_000
PURPOSE = "MRD headers"
_DECLARATION = re.compile(r"^\ufeff?\s*<\?xml[^>]*\?>")


def parsed_header(document: bytes | str, where: str) -> Any:
    """Parse the XML of an MRD header; nothing in it is trusted.

    Parameters
    ----------
    document
        XML.
    where
        What it was read from, for errors.

    Returns
    -------
    header
        `ismrmrdHeader` of the schema: every value of its type, no range looked at.

    Raises
    ------
    FormatError
        If it is too long, not UTF-8, declares entities, or is not an MRD header.
    MissingExtraError
        If `ismrmrd` is not installed.
    """
    xsd = require_ismrmrd(PURPOSE).xsd
    from xsdata.exceptions import ParserError
    from xsdata.formats.dataclass.parsers import XmlParser
    from xsdata.formats.dataclass.parsers.config import ParserConfig

    if len(document) > MAX_XML_BYTES:
        raise FormatError(f"{where}: {len(document)} bytes of XML: at most {MAX_XML_BYTES} are read")
    try:
        text = document.decode("utf-8") if isinstance(document, bytes) else document
    except UnicodeDecodeError as error:
        raise FormatError(f"{where}: not UTF-8 at byte {error.start}: not an MRD header") from None
    text = text.rstrip("\0 \r\n\t")
    # Without its declaration, so that no other encoding can hide what is looked for next.
    text = _DECLARATION.sub("", text)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FormatError(f"{where}: it declares entities or a document type, which no MRD header has")
    _check_elements(text, where)
    # Not the package's `CreateFromDocument`: that refuses elements of a newer schema, and lets a word that
    # should be a number pass with a warning.
    config = ParserConfig(fail_on_unknown_properties=False, fail_on_converter_warnings=True)
    # What it cannot place it would tell on standard error.
    logging.getLogger("xsdata").addHandler(logging.NullHandler())
    try:
        parsed = XmlParser(config=config, context=_schema()).from_bytes(
            text.encode("utf-8"), xsd.ismrmrdHeader
        )
        if not isinstance(parsed, xsd.ismrmrdHeader):
            raise ValueError(f"its root is {type(parsed).__name__}")
        return parsed
    except (
        ParserError,
        ValueError,
        TypeError,
        SyntaxError,
        RecursionError,
        AttributeError,
        LookupError,
    ) as error:
        reason = " ".join(str(error).split())[:160]
        raise FormatError(f"{where}: not an MRD header: {reason or type(error).__name__}") from None


def _check_elements(text: str, where: str) -> None:
    """Refuse XML of too many elements, or too deep: the schema's parser takes seconds over it."""
    depth = count = 0

    def begin(*_: object) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > MAX_XML_DEPTH or count > MAX_XML_ELEMENTS:
            raise FormatError(
                f"{where}: not an MRD header: more than {MAX_XML_ELEMENTS} elements, or nested more than "
                f"{MAX_XML_DEPTH} deep"
            )

    def end(_: object) -> None:
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    try:
        parser.Parse(text.encode("utf-8"), True)
    except (expat.ExpatError, UnicodeEncodeError) as error:
        raise FormatError(f"{where}: not an MRD header: {error}") from None


@functools.cache
def _schema() -> Any:
    """Return what the parser has learned of the schema, which takes longer than to read a header."""
    from xsdata.formats.dataclass.context import XmlContext

    return XmlContext()
