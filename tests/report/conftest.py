"""A real browser, where there is one."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[Path], str]:
    """Gives a page's document as it stands once its script has run."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no chromium or chrome on the PATH")
    profile = tmp_path / "profile"

    def opened(page: Path) -> str:
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={profile}",
            "--virtual-time-budget=3000",
            "--enable-logging=stderr",
            "--dump-dom",
            page.as_uri(),
        ]
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=True
        )
        # What the page's script throws, or its policy forbids, comes as a console message.
        complaints = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
        assert not complaints, "\n".join(complaints)
        return result.stdout

    return opened
