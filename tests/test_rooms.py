"""The house keeps its limits: a folder and a module stay small enough to be known whole."""

from __future__ import annotations

import contextlib
import importlib
import re
from collections import Counter
from pathlib import Path

import mrsim

ROOT = Path(__file__).parents[1]
PACKAGES = ("mrsim", "recon", "harness")
MAX_MODULES, MAX_TESTS, MAX_LINES = 20, 30, 450


def modules(*tops: str) -> list[Path]:
    """Return the Python files below some folders, `__init__` left out."""
    found = [path for top in tops for path in (ROOT / top).rglob("*.py") if path.name != "__init__.py"]
    assert found, tops
    return found


def test_no_folder_holds_more_modules_than_one_can_know() -> None:
    counts = Counter(path.parent.relative_to(ROOT).as_posix() for path in modules(*PACKAGES))
    assert {folder: n for folder, n in counts.items() if n > MAX_MODULES} == {}
    counts = Counter(path.parent.relative_to(ROOT).as_posix() for path in modules("tests"))
    # A catalogue, of which nobody has to know the whole: a file a kind, which docs/cheats.md lists.
    del counts["tests/cheats"]
    assert {folder: n for folder, n in counts.items() if n > MAX_TESTS} == {}


def test_no_module_is_longer_than_one_can_read() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in modules(*PACKAGES)
    }
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}


def test_every_room_says_what_it_is_for() -> None:
    for top in PACKAGES:
        for door in (ROOT / top).rglob("__init__.py"):
            assert door.read_text("utf-8").startswith('"""'), f"{door.relative_to(ROOT)}: it has no docstring"


def test_the_version_to_cite_is_the_one_that_is_installed() -> None:
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.M)
    assert cited is not None
    assert cited[1] == mrsim.__version__


def test_the_first_page_stays_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120


def pages() -> list[Path]:
    """Return the pages that speak of the present house; the changelog speaks of earlier ones, too."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def there(name: str) -> bool:
    """Return whether a path exists from the root; `*` stands for any text."""
    return any(True for _ in ROOT.glob(name.rstrip("/")))


def test_every_path_that_a_page_names_is_there() -> None:
    tops = "mrsim|recon|harness|phantoms|tests|docs|scripts|examples"
    found = 0
    for page in pages():
        text = page.read_text("utf-8")
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
        named = re.findall(rf"`((?:{tops})/[^`\s]*)`", prose)
        missing = [name for name in named if not there(name)]
        links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
        links = [link for link in links if link and "://" not in link and not link.startswith("mailto:")]
        missing += [link for link in links if not (page.parent / link).exists()]
        assert missing == [], f"{page.relative_to(ROOT)}: names what is not there"
        found += len(named) + len(links)
    assert found > 40


def test_every_module_that_a_page_or_a_docstring_names_is_there() -> None:
    """A dotted name leads to a module, or to a name that the module before it has."""
    found = 0
    for file in [*pages(), *modules(*PACKAGES), *(ROOT / top / "__init__.py" for top in PACKAGES)]:
        for name in re.findall(r"`((?:mrsim|recon|harness)(?:\.(?!py`)\w+)+)`", file.read_text("utf-8")):
            found += 1
            assert leads_somewhere(name), f"{file.relative_to(ROOT)}: {name} is not there"
    assert found > 20


def leads_somewhere(name: str) -> bool:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            thing: object = importlib.import_module(".".join(parts[:count]))
            for part in parts[count:]:
                if not hasattr(thing, part):
                    return False
                thing = getattr(thing, part)
            return True
    return False


def test_tests_mirror_the_packages_and_find_each_other_by_their_whole_names() -> None:
    rooms = {path.parent.relative_to(ROOT) for path in modules(*PACKAGES)}
    others = {Path(name) for name in ("benchmarks", "campaign", "cheats", "docs", "fuzz", "scripts")}
    for folder in {path.parent.relative_to(ROOT / "tests") for path in modules("tests")} - others:
        assert folder == Path() or folder in rooms, f"tests/{folder}: there is no such room"
        assert (ROOT / "tests" / folder / "__init__.py").is_file(), f"tests/{folder}: no __init__.py"
    for path in modules("tests"):
        relative = re.findall(r"^\s*(?:from|import) \.", path.read_text("utf-8"), re.M)
        assert not relative, f"{path.relative_to(ROOT)}: imports by a relative name"
