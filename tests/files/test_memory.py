"""Memory that is free: of the machine, of control groups, and under limits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unrender.errors import InputError
from unrender.files import memory
from unrender.files.memory import check_memory, free_memory, left_in_cgroup


def test_free_memory_is_at_most_the_machine_s() -> None:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < free_memory() <= total


def test_what_does_not_fit_is_refused_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 4 << 30)
    check_memory("a.npz", 3 << 30, "use less")
    with pytest.raises(
        InputError, match=r"a\.npz: takes 3\.1 GiB .* 4\.0 GiB that are free; use"
    ):
        check_memory("a.npz", int(3.1 * 2**30), "use less")


def test_limits_of_control_groups(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 300\nactive_file 100\n")
    assert left_in_cgroup(tmp_path, "memory.max", "memory.current") == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert left_in_cgroup(tmp_path, "memory.max", "memory.current") is None


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limits")
def test_a_limit_of_the_shell_counts() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "from unrender.files.memory import free_memory; print(free_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert int(done.stdout) < 1 << 30
