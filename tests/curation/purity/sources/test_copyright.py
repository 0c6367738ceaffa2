"""Licences from Debian's copyright files."""

from __future__ import annotations

import pytest

from curation.purity.sources.copyright import licences, spdx
from curation.purity.sources.packages import Package

TEXT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: game

Files: *
Copyright: 2001 A
License: GPL-2+
 The text of the licence
 Files: not a field

Files:
 base/sound/wind?.ogg
 base/sound/water/*
 base/music/x.ogg
License: CC-BY-SA-3.0

Files: debian/*
License: MIT

License: GPL-2+
 Text
"""


def test_the_last_paragraph_about_a_file_counts() -> None:
    package = Package("game", "debian", "1", "LicenseRef-unknown", (), licences=tuple(licences(TEXT, "base/sound/")))
    found = {path: package.licence_of(path) for path in ("wind1.ogg", "water/deep/a.ogg", "rain.ogg", "x.ogg")}
    assert found == {
        "wind1.ogg": "CC-BY-SA-3.0",
        "water/deep/a.ogg": "CC-BY-SA-3.0",
        "rain.ogg": "GPL-2.0-or-later",
        "x.ogg": "GPL-2.0-or-later",
    }


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-3+", "GPL-3.0-or-later"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GPL-3 or CC-BY-3.0", "GPL-3.0-only OR CC-BY-3.0"),
        ("CC-BY-3", "CC-BY-3.0"),
        ("PD", "LicenseRef-public-domain"),
        ("Bitstream Vera", "LicenseRef-Bitstream-Vera"),
    ],
)
def test_spdx(name: str, expression: str) -> None:
    assert spdx(name) == expression
