"""The kernels as C sources, for another machine than this: which rows a CPU can use, which files a row needs.

Reads the same kernels.inc lists that the extension is made from; in an installed wheel the sources lie beside
this package, in a checkout in backends/kernels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path, PurePosixPath

from edged.errors import BackendError
from edged_backends.catalogue import ARCHES, Catalogue, KernelRow, host_catalogue

_ROW = re.compile(r"^KERNEL\(([\w| ]+), *(\w+), *(\w+), *(\d+), *(\d+), *(\d+)\)", re.M)
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
_SUFFIX = re.compile(r"#define KERNEL_NAME\(op\) op##(\w+)")
_NAMED = re.compile(r"KERNEL_NAME\((\w+)\)")
_ISA_FILES = {"scalar": "scalar", "dsp": "arm_dsp", "mve": "arm_mve"}
"""End of a kernel's name -> of its files' names."""
_PLACES = (Path(__file__).parents[1] / "kernels", Path(__file__).parents[2] / "kernels")


def folder() -> Path:
    """Where the sources lie. BackendError when this installation has none."""
    for place in _PLACES:
        if (place / "kernels.inc").is_file():
            return place
    raise BackendError("the kernels' C sources are not installed", remedy="install edged from its own wheel")


@cache
def rows() -> tuple[KernelRow, ...]:
    """All rows of all lists, best first for each op; none has an index in this machine's table."""
    found = []
    for inner in _INCLUDE.findall(_text(PurePosixPath("kernels.inc"))):
        for arch, op, name, *tile in _ROW.findall(_text(PurePosixPath(inner))):
            bits = sum(ARCHES[a.strip().removeprefix("ARCH_").lower()] for a in arch.split("|"))
            found.append(KernelRow(-1, bits, op, name, *map(int, tile)))
    return tuple(found)


def catalogue(present: int) -> Catalogue:
    """The kernels of a CPU with these instruction sets. Parameters are the same everywhere."""
    return Catalogue(rows(), host_catalogue().layouts, present)


def structs() -> Mapping[str, str]:
    """Name of the params struct of every op."""
    from edged_backends import _kernels

    return _kernels.op_params()


def needed(names: Iterable[str]) -> dict[str, bytes]:
    """Files with these kernels, what they include, and the kernels that they call: path in kernels/ -> text.

    Where macros hide which file defines a kernel, all of its family for its instruction set are taken; the
    linker drops what nobody calls.
    """
    known = {row.name for row in rows()}
    files: dict[PurePosixPath, str] = {}
    wanted, done = list(names), set[str]()
    while wanted:
        name = wanted.pop()
        if name in done:
            continue
        done.add(name)
        for source in _sources_of(name):
            for path in _closure(source):
                files[path] = _text(path)
            called = set(re.findall(r"\w+", _whole(source))) & known
            wanted += [other for other in called if source not in _sources_of(other)]
    for path in _closure(PurePosixPath("params.h")):
        files[path] = _text(path)
    return {str(path): text.encode() for path, text in sorted(files.items())}


@cache
def _sources_of(name: str) -> tuple[PurePosixPath, ...]:
    found = _definitions().get(name)
    if found is not None:
        return (found,)
    family, root = _families()[name], folder()
    files = (root / family).glob(f"*{_ISA_FILES[name.rsplit('_', 1)[1]]}*.c")
    return tuple(PurePosixPath(file.relative_to(root).as_posix()) for file in sorted(files))


@cache
def _families() -> Mapping[str, str]:
    """Kernel -> the folder of its family."""
    lists = [PurePosixPath(inner) for inner in _INCLUDE.findall(_text(PurePosixPath("kernels.inc")))]
    return {row[2]: path.parent.name for path in lists for row in _ROW.findall(_text(path))}


@cache
def _definitions() -> Mapping[str, PurePosixPath]:
    """Kernel -> the C file that defines it."""
    root, known = folder(), {row.name for row in rows()}
    found: dict[str, PurePosixPath] = {}
    for file in sorted(f for f in root.glob("*/*.c") if f.parent.name != "ext"):
        path = PurePosixPath(file.relative_to(root).as_posix())
        text = _whole(path)
        suffix = _SUFFIX.search(text)
        names = {f"{op}{suffix[1]}" for op in _NAMED.findall(text)} if suffix else set()
        names |= set(re.findall(r"(?:void|\w+\() *(\w+_\w+)(?=[(,])", text))
        for name in names & known:
            found.setdefault(name, path)
    return found


def _closure(path: PurePosixPath) -> list[PurePosixPath]:
    """A file and everything that it includes, by path below the sources' folder."""
    found, wanted = [], [path]
    while wanted:
        here = wanted.pop()
        if here in found:
            continue
        found.append(here)
        for inner in _INCLUDE.findall(_text(here)):
            wanted.append(_joined(here.parent, inner))
    return found


def _joined(base: PurePosixPath, inner: str) -> PurePosixPath:
    parts = list(base.parts)
    for part in PurePosixPath(inner).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return PurePosixPath(*parts)


@cache
def _whole(path: PurePosixPath) -> str:
    """A file with its own family's includes behind it."""
    return "\n".join(_text(p) for p in _closure(path) if p.parent == path.parent)


@cache
def _text(path: PurePosixPath) -> str:
    return (folder() / path).read_text(encoding="utf-8")
