"""Files are written and read in one way: nothing opens one by itself, outside of `mrsim/files`.

What is left says why. A new entry needs a reason as good as these: whatever a user names, or can have
touched, goes through the room.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("mrsim", "recon", "harness")
ROOM = "mrsim/files/"

OWN = "a file of the package's own"
SYSTEM = "the kernel's own file, of a page at most"
ALLOWED = {
    ("mrsim/anatomy/phantom_file.py", ".read_text"): OWN,
    ("mrsim/motion/tables.py", ".read_bytes"): OWN,
    ("mrsim/physics/tissue.py", ".read_text"): OWN,
    ("mrsim/physics/tissue.py", "tomllib.loads"): OWN,
    ("harness/dataset/spec.py", ".read_text"): OWN,
    ("harness/report/page.py", ".read_text"): OWN,
    ("harness/candidates/held/landlock.py", "os.open"): SYSTEM,
    ("harness/realtime/process_memory.py", ".read_text"): SYSTEM,
    ("harness/realtime/own_processes.py", "open to read"): SYSTEM,
    ("harness/realtime/environment.py", "open to read"): SYSTEM,
    ("harness/realtime/host.py", ".read_text"): SYSTEM,
    ("harness/realtime/processor_time.py", "os.open"): SYSTEM,
    ("harness/wire/session.py", ".read_text"): SYSTEM,
    ("recon/cascade/engines.py", ".read_text"): SYSTEM,
    (
        "mrsim/kernels/compilation.py",
        ".read_bytes",
    ): "the package's sources, and the cache that it wrote itself",
    ("mrsim/kernels/compilation.py", "pickle.loads"): "the cache that it wrote itself, as numba's own",
    ("harness/workers/process.py", "pickle.loads"): "what this process and its worker tell each other",
    ("mrsim/stream/storage.py", ".open_memmap"): "maps the arrays of a folder that `WholeFolder` made",
    ("mrsim/formats/hdf5.py", "h5py.File"): "the library's, under the names and after the looks of the room",
    ("harness/picture/methods.py", ".savefig"): "the library's, under the name that `whole_file` gave",
    ("harness/picture/phantom.py", ".savefig"): "the library's, under the name that `whole_file` gave",
    ("harness/picture/patient.py", ".savefig"): "the library's, under the name that `whole_file` gave",
    ("mrsim/stream/plot.py", ".savefig"): "the library's, under the name that `whole_file` gave",
    ("harness/experiment/figures.py", ".savefig"): "the library's, under the name that `whole_file` gave",
    ("harness/dataset/sheet.py", ".savefig"): "the library's, under the name that `whole_file` gave",
    ("mrsim/stream/storage.py", "np.save"): "into a file that `new_file` opened",
    ("harness/dataset/folder.py", "open to write"): "the lock, and the journal that lines are added to",
    ("harness/dataset/folder.py", "os.truncate"): "the journal's torn last line",
    ("harness/experiment/workers.py", ".touch"): "an empty file of a new name, which workers must see",
    ("harness/cli/process/streams.py", "os.open"): "the null device in the place of a closed stream",
    ("harness/cli/process/streams.py", "open to read"): "a standard stream by its number",
    ("harness/cli/process/check_child.py", "os.fdopen"): "a pipe by its number",
}

DOTTED = {
    "os.replace", "os.rename", "os.truncate", "os.open", "os.fdopen", "os.link", "os.symlink", "io.open",
    "shutil.copy", "shutil.copy2", "shutil.copyfile", "shutil.copytree", "shutil.move",
    "np.save", "np.savez", "np.savez_compressed", "np.savetxt", "np.memmap",
    "np.load", "np.fromfile", "np.loadtxt", "np.genfromtxt",
    "torch.save", "torch.load", "json.load", "json.dump", "tomllib.load", "tomllib.loads",
    "pickle.load", "pickle.loads", "pickle.dump", "zipfile.ZipFile", "h5py.File",
}  # fmt: skip
METHODS = {
    "write_text", "write_bytes", "read_text", "read_bytes", "savefig", "tofile", "open_memmap", "rename",
    "hardlink_to", "symlink_to", "touch",
}  # fmt: skip


def found_in(source: str) -> Iterator[str]:
    """Yield what a source calls that opens, reads, writes or moves a file."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = ast.unparse(call.func)
        if name in DOTTED:
            yield name
        elif name == "open" or name.endswith(".open"):
            yield from _opened(call, name)
        elif isinstance(call.func, ast.Attribute):
            method = call.func.attr
            if method in METHODS:
                yield f".{method}"
            elif method == "replace" and len(call.args) == 1 and not call.keywords:
                yield ".replace"


def _opened(call: ast.Call, name: str) -> Iterator[str]:
    given = [*call.args[name == "open" :][:1], *(k.value for k in call.keywords if k.arg == "mode")]
    modes = [a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    if modes and set(modes[0]) <= set("rwxabt+"):
        yield "open to write" if set(modes[0]) & set("wxa+") else "open to read"
    elif name == "open" or "path" in name or "file" in name:
        yield "open to read"


def test_nothing_else_opens_a_file() -> None:
    found = {
        (name, what)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if not (name := path.relative_to(ROOT).as_posix()).startswith(ROOM)
        for what in found_in(path.read_text("utf-8"))
    }
    assert found - set(ALLOWED) == set(), "take mrsim.files.writing or mrsim.files.reading"
    assert set(ALLOWED) - found == set(), "no longer there: take it off the list"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("open('x', 'w')", "open to write"),
        ("open(path, mode='r+b')", "open to write"),
        ("with open(path) as file: pass", "open to read"),
        ("path.open('xb')", "open to write"),
        ("(folder / 'a').open('rb')", "open to read"),
        ("self.path.open()", "open to read"),
        ("path.write_text(text)", ".write_text"),
        ("os.replace(a, b)", "os.replace"),
        ("partial.replace(path)", ".replace"),
        ("np.savez_compressed(path, **arrays)", "np.savez_compressed"),
        ("json.loads((folder / 'header.json').read_text())", ".read_text"),
        ("tomllib.loads(text)", "tomllib.loads"),
        ("np.load(path, allow_pickle=False)", "np.load"),
        ("figure.savefig('a.png')", ".savefig"),
    ],
)
def test_each_way_to_a_file_is_seen(source: str, what: str) -> None:
    assert list(found_in(source)) == [what]


@pytest.mark.parametrize(
    "source",
    [
        "candidate.open(header, emit)",
        "text.replace('a', 'b')",
        "dataclasses.replace(plan, seed=1)",
        "journal.open()",
        "write_text(path, text)",
        "json.loads(text)",
    ],
)
def test_what_opens_no_file_is_not(source: str) -> None:
    assert list(found_in(source)) == []
