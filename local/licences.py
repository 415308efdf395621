"""The licence files of the installed packages, and what the packages' own metadata says they are.

Real documents that are on every machine, with a truth to measure classification against. Knows Python's
package metadata and SPDX ids; classifies nothing.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import PackageMetadata

_FILE = re.compile(r"licen[cs]e|copying", re.IGNORECASE)
_NOT_A_LICENCE = re.compile(r"notice|authors|third.?party", re.IGNORECASE)
_CODE = frozenset({".py", ".pyc", ".pyi", ".so", ".json", ".spdx"})
_LONGEST_NAME = 100  # a longer License field is a licence's text, not its name
_BETWEEN = re.compile(r"\s+(?:or|and)\s+|[/,;|&]", re.IGNORECASE)

# What people call licences, as SPDX ids; `*` where the name leaves the variant open. The first that fits.
_CALLED = tuple(
    (re.compile(pattern, re.IGNORECASE), spdx)
    for pattern, spdx in (
        (r"\bMIT-0\b|no attribution", "MIT-0"),
        (r"\bMIT-CMU\b|\bPIL\b", "MIT-CMU"),
        (r"\bMIT\b|\bexpat\b", "MIT"),
        (r"\bapache\b|\bASL ?v?2", "Apache-2.0"),
        (r"\b0BSD\b|zero.clause", "0BSD"),
        (r"(?=.*\bBSD)(?:.*\b(?:3|three).clause|.*\b(?:new|modified|revised)\b|.*BSD.3)", "BSD-3-Clause"),
        (r"(?=.*\bBSD)(?:.*\b(?:2|two).clause|.*\b(?:simplified|freebsd)\b|.*BSD.2)", "BSD-2-Clause"),
        (r"\bBSD\b", "BSD-*"),
        (r"\bISCL?\b", "ISC"),
        (r"\bHPND\b|historical permission", "HPND"),
        (r"\bPSF|python software foundation|\bpython-2", "PSF-2.0"),
        (r"\bCNRI", "CNRI-Python"),
        (r"\bZPL|zope", "ZPL-2.1"),
        (r"mozilla.*2|\bMPL.?v?2", "MPL-2.0"),
        (r"mozilla.*1\.1|\bMPL.?v?1\.1", "MPL-1.1"),
        (r"\bAGPL|affero", "AGPL-3.0"),
        (r"\bLGPL.?v?3|lesser.*v?3", "LGPL-3.0"),
        (r"\bLGPL.?v?2|lesser.*v?2", "LGPL-2.*"),
        (r"\bLGPL|lesser|library general", "LGPL-*"),
        (r"\bGPL.?v?3|general public.*v?3", "GPL-3.0"),
        (r"\bGPL.?v?2|general public.*v?2", "GPL-2.0"),
        (r"\bGPL|general public", "GPL-*"),
        (r"eclipse.*2|\bEPL.?v?2", "EPL-2.0"),
        (r"eclipse.*1|\bEPL.?v?1", "EPL-1.0"),
        (r"unlicense", "Unlicense"),
        (r"\bCC0", "CC0-1.0"),
        (r"\bzlib\b", "Zlib"),
        (r"boost", "BSL-1.0"),
        (r"\bWTFPL", "WTFPL"),
    )
)


@dataclass(frozen=True, slots=True)
class LicenceFile:
    """One licence file of an installed package; `declared` is what the package's metadata names, possibly nothing."""

    package: str
    version: str
    path: Path
    declared: tuple[str, ...]


def installed_licences(paths: Sequence[str] | None = None) -> Iterator[LicenceFile]:
    """Yield the licence files of the packages in this environment (or in these folders), by package.

    A licence file is a file in the package's `.dist-info` whose name holds LICENSE, LICENCE or COPYING
    (UNLICENSE is one, too). NOTICE, AUTHORS and THIRD_PARTY files are none: they tell who and what else.
    """
    found = distributions() if paths is None else distributions(path=list(paths))
    by_name = {(one.metadata["Name"] or "").lower(): one for one in reversed(list(found))}
    for name, package in sorted(by_name.items()):
        names = _declared(package.metadata)
        for path in _licence_files(package):
            yield LicenceFile(name, package.version, path, names)


def agrees(label: str, declared: Iterable[str]) -> bool:
    """Tell whether a label is one of the declared ids; `BSD-*` leaves the variant open."""
    return any(fnmatchcase(label, name) for name in declared)


def _licence_files(package: Distribution) -> Iterator[Path]:
    record = (package.read_text("RECORD") or "").splitlines()
    rows = csv.reader(line for line in record if ".dist-info/" in line)
    for name in sorted(row[0] for row in rows if row and _is_licence(PurePosixPath(row[0]))):
        path = Path(str(package.locate_file(name)))
        if path.is_file():
            yield path


def _is_licence(path: PurePosixPath) -> bool:
    if not path.parts[0].endswith(".dist-info") or path.suffix.lower() in _CODE:
        return False
    return bool(_FILE.search(path.name)) and not _NOT_A_LICENCE.search(path.name)


def _declared(metadata: PackageMetadata) -> tuple[str, ...]:
    """Return the ids of the first field that names any: License-Expression, classifiers, License."""
    expression = re.sub(r"\s+WITH\s+\S+", "", _field(metadata, "License-Expression"))
    classifiers = [one for one in metadata.get_all("Classifier") or () if one.startswith("License ::")]
    text = _field(metadata, "License")
    fields = (
        re.findall(r"[A-Za-z0-9.+-]+", expression),
        [one.rsplit("::", 1)[1] for one in classifiers],
        _BETWEEN.split(text) if len(text) <= _LONGEST_NAME else [],
    )
    for field in fields:
        if found := tuple(dict.fromkeys(name for name in map(_spdx, field) if name)):
            return found
    return ()


def _field(metadata: PackageMetadata, name: str) -> str:
    return metadata[name].strip() if name in metadata else ""


def _spdx(said: str) -> str:
    """Return the SPDX id of what somebody called a licence; empty when it names none that is known."""
    return next((spdx for called, spdx in _CALLED if called.search(said)), "")
