"""Text of strangers on a terminal or a page: what cannot be shown, or would move the cursor, is spelt out."""

from __future__ import annotations

import re

# Controls but for tab, line feed and carriage return; Unicode's separators of lines, and what turns the
# direction of reading; and halves of surrogate pairs, which no encoding has.
_HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return a text with each control character as its escape, such as `\x1b`.

    Parameters
    ----------
    text
        The text; its lines stay lines.
    """
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
