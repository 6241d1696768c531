"""What is told of the package: its dependencies, their versions and licences, and its files."""

import re
import tomllib
from fnmatch import fnmatch

import pytest
from inputs import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from third_party import CARRIED, UNKNOWN

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINES = [
    *PROJECT["project"]["dependencies"],
    *(line for lines in PROJECT["project"]["optional-dependencies"].values() for line in lines),
]
REQUIRED = {
    str(canonicalize_name(each.name)): each
    for each in map(Requirement, LINES)
    if each.name != "unrender"
}


def pinned() -> dict[str, str]:
    """Versions by name in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {str(canonicalize_name(name)): version for name, version in pairs}


def listed() -> dict[str, tuple[str, str]]:
    """Version and licence by name in THIRD_PARTY.md, of packages that pyproject.toml names."""
    rows = re.findall(
        r"^\| \*\*(.+?)\*\* \| (\S+) \| (.+?) \|", (ROOT / "THIRD_PARTY.md").read_text(), re.M
    )
    return {str(canonicalize_name(name)): (version, licence) for name, version, licence in rows}


def test_every_dependency_is_bounded_and_tested_within_its_bounds() -> None:
    """A major version that nobody has seen may break anything."""
    for name, requirement in REQUIRED.items():
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators & {"<", "=="}, f"{name} has no upper bound"
        if "==" not in operators:
            assert name in pinned(), f"{name} is not in constraints.txt"
            assert requirement.specifier.contains(pinned()[name]), name


def test_third_party_names_every_dependency() -> None:
    """Run `python benchmarks/third_party.py` when one has changed."""
    assert set(listed()) == set(REQUIRED)
    for name, (version, licence) in listed().items():
        assert licence != UNKNOWN, name
        assert version.split("+")[0] == pinned().get(name, version.split("+")[0]), name


def test_third_party_tells_what_wheels_carry() -> None:
    page = (ROOT / "THIRD_PARTY.md").read_text()
    for name in CARRIED:
        assert f"- **{name}**: {CARRIED[name]}" in page
    assert UNKNOWN not in page


def test_the_package_holds_every_file_of_the_sources() -> None:
    globs = PROJECT["tool"]["setuptools"]["package-data"]["unrender"]
    source = ROOT / "src/unrender"
    files = [
        str(path.relative_to(source))
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".py"
    ]
    assert not [file for file in files if not any(fnmatch(file, glob) for glob in globs)]
    assert not [glob for glob in globs if not any(fnmatch(file, glob) for file in files)]


def test_what_an_index_shows_leads_nowhere_within_the_repository() -> None:
    page = (ROOT / PROJECT["project"]["readme"]).read_text()
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert all(link.startswith("https://") for link in links)
    assert "<img" not in page


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_between_pages_lead_somewhere(name: str) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text()):
        # The source distribution leaves pictures out.
        assert (ROOT / link).exists() or link.endswith((".jpg", ".png")), link
