"""The table of packages: globs, first rule, classes by name, splits by group, and the table of the repository."""

from __future__ import annotations

import pytest

from curation.purity.sources.packages import Package, PackagesError, Rule, Table, bare_name, read_table, words
from curation.purity.sources.reserved import check_name

TABLE = """
[classes]
bird = ["owl", "footed"]
footstep = ["footstep", "step"]
[doubtful]
musical = ["jingle"]
[[package]]
name = "one"
registry = "debian"
version = "1"
licence = "CC0-1.0"
root = "usr/"
val_groups = ["de"]
licences = [["speech/de/**", "CC-BY-4.0"]]
rules = [
  { files = "**/silence*", kind = "speech", leave_out = "no speech" },
  { files = "speech/*/*", kind = "speech", category = "{1}", group = "{1}" },
  { files = "{fx,more}/**", group = "{word}", split = "divided" },
]
"""


def choose(path: str) -> tuple[str, ...] | None:
    table = read_table(TABLE)
    one = table.choose(table.packages["one"], path)
    return None if one is None else (one.kind, one.category, one.group, one.split, one.licence, one.doubt)


def test_the_first_rule_that_matches_decides() -> None:
    assert choose("usr/speech/fr/a.ogg") == ("speech", "fr", "one: fr", "train", "CC0-1.0", "")
    assert choose("usr/speech/de/a.ogg") == ("speech", "de", "one: de", "val", "CC-BY-4.0", "")
    left_out = choose("usr/speech/fr/silence1.ogg")
    assert left_out is not None and left_out[-1] == "left out: no speech"
    assert choose("usr/speech/fr/deeper/a.ogg") is None
    assert choose("opt/speech/fr/a.ogg") is None


def test_effects_get_the_class_of_the_last_known_word() -> None:
    for name, category in {
        "OwlFootstep_02": "footstep",
        "step_owl": "bird",
        "metalfootstep": "footstep",
        "thing": "other",
        "owlish": "other",
    }.items():
        found = choose(f"usr/fx/{name}.wav")
        assert found is not None and found[1] == category, name
    found = choose("usr/fx/owl/thing.wav")
    assert found is not None and found[1] == "bird"  # the folder's word, where the name has none
    doubtful = choose("usr/fx/Owl-Jingle.wav")
    assert doubtful is not None and doubtful[-1] == "name: musical"


def test_a_divided_package_is_divided_by_group_and_always_alike() -> None:
    splits = {name: (choose(f"usr/fx/{name}_{i}.wav") or ())[3] for name in map(str.lower, NAMES) for i in (1, 2)}
    again = {name: (choose(f"usr/more/{name}_3.wav") or ())[3] for name in splits}
    assert splits == again
    assert 1 <= list(splits.values()).count("val") <= 14
    assert set(splits.values()) == {"train", "val"}


NAMES = [
    a + b
    for a in ("Kar", "Lin", "Mo", "Nes", "Or", "Pul")
    for b in ("ba", "den", "fi", "go", "hul", "jas", "kel", "lom")
]


@pytest.mark.parametrize(
    ("glob", "path", "stars"),
    [
        ("*/b.*", "a/b.ogg", ("a", "ogg")),
        ("**b.ogg", "x/y/b.ogg", ("x/y/",)),
        ("a?.{ogg,wav}", "a1.wav", ()),
        ("{a*,b}/c", "axy/c", ()),
        ("a.b", "a.b", ()),
        ("*", "a/b", None),
        ("a.b", "axb", None),
        ("{a,b}/c", "ab/c", None),
    ],
)
def test_globs(glob: str, path: str, stars: tuple[str, ...] | None) -> None:
    found = Rule(glob).pattern.fullmatch(path)
    assert (found and found.groups()) == stars


def test_names() -> None:
    assert words("wolf_HowlFar-02.b") == ["wolf", "howl", "far", "b"]
    assert [bare_name(path) for path in ("a/lion_roar_02.ogg", "b.1.ogg", "horn7.wav", "7.wav")] == [
        "lion_roar",
        "b",
        "horn",
        "7",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"debian"', '"rpm"'), "registry = 'rpm'"),
        (('kind = "speech", category', 'kind = "noise", category'), "unknown kind or split"),
        (('"divided"', '"half"'), "unknown kind or split"),
        (("leave_out", "leaves"), "leaves"),
        (("[classes]", "[classes"), "table of packages"),
        (('version = "1"\n', ""), "version"),
    ],
)
def test_wrong_tables_are_refused(change: tuple[str, str], message: str) -> None:
    with pytest.raises(PackagesError, match=message):
        read_table(TABLE.replace(*change))


def test_the_key_changes_with_every_rule_and_word() -> None:
    def key(text: str) -> str:
        table = read_table(text)
        return table.key(table.packages["one"])

    changed = [("no speech", "quiet"), ('"owl"', '"owls"'), ('version = "1"', 'version = "2"'), ("jingle", "jingles")]
    assert len({key(TABLE.replace(*change)) for change in changed} | {key(TABLE)}) == 5
    assert key(TABLE) == key(TABLE)


def test_the_repositorys_table() -> None:
    table = read_table()
    assert len(table.packages) > 40
    for package in table.packages.values():
        check_name(package.name)
        assert package.version and package.licence and package.rules
        for rule in package.rules:
            assert rule.pattern is not None
            assert rule.category or rule.kind == "effects" or rule.leave_out, (package.name, rule.files)


def test_the_splits_that_published_figures_rest_on() -> None:
    table = read_table()

    def split(name: str, below: str) -> tuple[str, str]:
        package: Package = table.packages[name]
        one = table.choose(package, package.root + below)
        assert one is not None and not one.doubt, below
        return one.kind, one.split

    assert split("tuxpaint-stamps-default", "food/fruit/apple_desc_fr.ogg") == ("speech", "test")
    assert split("tuxpaint-stamps-default", "animals/birds/crow.ogg") == ("effects", "test")
    assert split("nexuiz-data", "tutorial/2-jumppad.ogg") == ("speech", "test")
    assert split("nexuiz-music", "infight.ogg") == ("music", "test")
    assert split("0ad-data", "voice/greek/civ/a.ogg") == ("speech", "test")
    assert split("0ad-data", "music/a.ogg") == ("music", "train")
    assert split("supertuxkart-data", "sfx/rain.ogg") == ("effects", "test")
    assert split("widelands-data", "sound/animals/frog.ogg") == ("effects", "val")
    assert split("klettres-data", "cs/alpha/a.ogg") == ("speech", "train")
    assert split("ktuberling-data", "da/a.ogg") == ("speech", "val")


def test_licences_by_file() -> None:
    table = read_table()
    sounds = table.packages["mod-sounds"]
    licences = [sounds.licence_of(f"sounds/sounds_{name}.ogg") for name in ("wind", "frog", "whale", "loon_01")]
    assert licences == ["CC-BY-3.0", "CC0-1.0", "LicenseRef-CC-BY", "CC-BY-SA-3.0"]


def test_an_empty_table() -> None:
    assert read_table("") == Table({}, {}, {})
