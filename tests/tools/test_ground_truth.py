from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from local.licences import LicenceFile, agrees, installed_licences
from shared.events.document import DocumentRef
from shared.tools.registry import Toolbox, get

Put = Callable[..., DocumentRef]


def test_labels_agree_with_the_packages_metadata(put: Put, toolbox: Toolbox, licences: DocumentRef) -> None:
    """Of this environment's licence files whose metadata names a licence, at least 95 % are labelled like that."""
    told = [file for file in installed_licences() if file.declared]
    missed = []
    for file in told:
        ref = put(file.path.read_bytes(), file.path.name)
        text = get("extract").run({"document": ref}, toolbox).model_dump()["text"]
        label = get("classify").run({"text": text, "taxonomy": licences}, toolbox).model_dump()["label"]
        if not agrees(label, file.declared):
            missed.append((file.package, file.path.name, file.declared, label))
    assert len(told) > 20
    assert len(missed) <= 0.05 * len(told), missed


def package(folder: Path, name: str, metadata: str, *files: str) -> None:
    """Install a package that has nothing but metadata and files."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}\n")
    rows = [f"{info.name}/METADATA,,", f"{name}/code.py,,", f"{name}/LICENSE,,"]
    for file in files:
        (info / file).parent.mkdir(parents=True, exist_ok=True)
        (info / file).write_text("text")
        rows.append(f"{info.name}/{file},,")
    (info / "RECORD").write_text("\n".join(rows))


def listed(folder: Path) -> list[LicenceFile]:
    """Return what is installed in a folder."""
    return list(installed_licences([str(folder)]))


def test_licence_files_are_told_from_others(tmp_path: Path) -> None:
    """Licences count wherever they lie in the metadata folder; notices, authors and code do not."""
    licences = ("LICENSE", "licenses/COPYING.LESSER", "licenses/LICENCE.md", "licenses/sub/x_LICENSE.txt", "UNLICENSE")
    others = ("NOTICE", "AUTHORS", "licenses/THIRD_PARTY_LICENSES", "licenses/license.py", "sbom-license.json")
    package(tmp_path, "frob", "", *licences, *others)
    info = tmp_path / "frob-1.0.dist-info"
    assert sorted(file.path.relative_to(info).as_posix() for file in listed(tmp_path)) == sorted(licences)


def test_a_listed_file_that_is_gone_is_left_out(tmp_path: Path) -> None:
    """A record may name a file that somebody removed."""
    package(tmp_path, "frob", "", "LICENSE")
    (tmp_path / "frob-1.0.dist-info" / "LICENSE").unlink()
    assert listed(tmp_path) == []


@pytest.mark.parametrize(
    ("metadata", "declared"),
    [
        ("License-Expression: MIT", ("MIT",)),
        ("License-Expression: Apache-2.0 OR BSD-3-Clause", ("Apache-2.0", "BSD-3-Clause")),
        (
            "License-Expression: (MIT AND PSF-2.0) OR GPL-2.0-or-later WITH GCC-exception-2.0",
            ("MIT", "PSF-2.0", "GPL-2.0"),
        ),
        ("License-Expression: GPL-3.0-only", ("GPL-3.0",)),
        ("License-Expression: LGPL-2.1-or-later", ("LGPL-2.*",)),
        ("License-Expression: MIT\nLicense: BSD", ("MIT",)),
        ("License: Apache 2.0", ("Apache-2.0",)),
        ("License: 3-Clause BSD License", ("BSD-3-Clause",)),
        ("License: BSD", ("BSD-*",)),
        ("License: MIT OR Apache-2.0", ("MIT", "Apache-2.0")),
        ("License: Dual License", ()),
        ("License: UNKNOWN", ()),
        ("License: MIT " + "and much more text " * 10, ()),
        ("Classifier: License :: OSI Approved :: BSD License\nLicense: BSD-2-Clause", ("BSD-*",)),
        ("Classifier: License :: OSI Approved :: ISC License (ISCL)", ("ISC",)),
        (
            "Classifier: License :: OSI Approved :: GNU Lesser General Public License v3 or later (LGPLv3+)",
            ("LGPL-3.0",),
        ),
        ("Classifier: License :: OSI Approved :: GNU General Public License (GPL)", ("GPL-*",)),
        ("Classifier: License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)", ("MPL-2.0",)),
        ("Classifier: License :: OSI Approved\nLicense: Unlicense", ("Unlicense",)),
        ("Classifier: Topic :: MIT", ()),
        ("", ()),
    ],
)
def test_metadata_names_licences_in_many_ways(metadata: str, declared: tuple[str, ...], tmp_path: Path) -> None:
    """Expressions, classifiers and free words become SPDX ids, in this order; what names none says nothing."""
    package(tmp_path, "frob", metadata, "LICENSE")
    (file,) = listed(tmp_path)
    assert (file.package, file.version, file.declared) == ("frob", "1.0", declared)


@pytest.mark.parametrize(
    ("label", "declared", "agreed"),
    [
        ("MIT", ("MIT",), True),
        ("MIT", ("Apache-2.0", "MIT"), True),
        ("BSD-2-Clause", ("BSD-*",), True),
        ("BSD-2-Clause", ("BSD-3-Clause",), False),
        ("0BSD", ("BSD-*",), False),
        ("unknown", ("MIT",), False),
        ("unknown", (), False),
        ("GPL-3.0", ("LGPL-*",), False),
    ],
)
def test_agreement_is_exact_but_for_open_variants(label: str, declared: tuple[str, ...], *, agreed: bool) -> None:
    """A label agrees with one of the ids; only an open name accepts its variants; unknown agrees with nothing."""
    assert agrees(label, declared) is agreed
