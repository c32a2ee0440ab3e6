"""Pages that stand above docs/ become pages of the site, and links to them lead there.

On a Git host README, CONTRIBUTING and CHANGELOG are read where they are; their places in docs/ hold a link.
The first screen gets a strip of the gallery's pictures, which a repository does not hold.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ABOVE = {"README.md": "quickstart", "CONTRIBUTING.md": "contributing", "CHANGELOG.md": "changes"}
FIRST, BEYOND = "## Install", "## Three doors"
"""What of the README is the quickstart; the rest is the first screen's."""
ON = """## Where to go on
[A first scan](tutorials/first-scan.md) explains what these lines did, and
[read a verdict](tutorials/read-a-verdict.md) what they print.
"""
MARK = "<!-- pictures -->"
GALLERY = {"gallery/GALLERY_HEADER.rst": "pictures/index.rst"}
_LINK = re.compile(r"\]\(([\w./-]+)(#[^)]*)?\)")


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """Put in what stands above, and turn links."""
    root = Path(app.srcdir).parent
    file = next((file for file, page in ABOVE.items() if page == name), None)
    if file is not None:
        app.env.note_dependency(str(root / file))
        text = (root / file).read_text(encoding="utf-8")
        if file == "README.md":
            text = "# Quickstart\n\n" + text[text.index(FIRST) : text.index(BEYOND)] + ON
        source[0] = text
    if name == "index":
        source[0] = source[0].replace(MARK, strip(Path(app.srcdir) / "gallery"))
    folder = posixpath.dirname(name)
    base = "" if file is not None else posixpath.join("docs", folder)

    def turned(link: re.Match[str]) -> str:
        target, anchor = posixpath.normpath(posixpath.join(base, link[1])), link[2] or ""
        if target == "README.md" and not anchor:
            target = "index.md"
        elif target in ABOVE:
            target = f"{ABOVE[target]}.md"
        elif target.startswith("docs/"):
            target = target.removeprefix("docs/")
            target = GALLERY.get(target, target)
        else:
            return link[0]
        return f"]({posixpath.relpath(target, folder or '.')}{anchor})"

    source[0] = _LINK.sub(turned, source[0])


def strip(gallery: Path) -> str:
    """Return the gallery's pictures, small, each leading to its page."""
    shown = ["", '<div class="strip">', ""]
    for file in sorted(gallery.glob("plot_*.py")):
        title = file.read_text(encoding="utf-8").splitlines()[1]
        thumb = f"pictures/images/thumb/sphx_glr_{file.stem}_thumb.png"
        shown.append(f"[![{title}]({thumb})](pictures/{file.stem}.rst)")
    return "\n".join([*shown, "", "</div>", ""])


def setup(app: Sphinx) -> dict[str, Any]:
    """Enter it into Sphinx."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
