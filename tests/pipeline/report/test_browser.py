"""The page in a real browser: its console stays silent, and it fits a phone."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--enable-logging=stderr", "--v=0", "--window-size=400,900", "--dump-dom"),
)


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        message = "chromium is missing; install it with: apt install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def _open(chromium: str, page: Path, profile: Path) -> tuple[str, list[str]]:
    """The page's DOM after loading, and the lines of its console."""
    command = [chromium, *_OPTIONS, f"--user-data-dir={profile}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, re.findall(r"CONSOLE.*", done.stderr)


def test_console_is_silent(chromium: str, page: Path, tmp_path: Path) -> None:
    dom, console = _open(chromium, page, tmp_path)
    assert "</h1>" in dom
    assert console == []


def test_console_would_tell_of_a_network_resource(
    chromium: str, page: Path, tmp_path: Path
) -> None:
    slip = '<img alt="" src="http://127.0.0.1:9/x.png"></main>'
    bad = tmp_path / "bad.html"
    bad.write_text(page.read_text(encoding="utf-8").replace("</main>", slip), encoding="utf-8")
    _, console = _open(chromium, bad, tmp_path / "profile")
    assert any("Content Security Policy" in line for line in console)


def test_page_fits_a_phone(chromium: str, page: Path, tmp_path: Path) -> None:
    probe = (
        "<script>const page = document.documentElement;"
        "document.title = `wide ${page.scrollWidth} of ${page.clientWidth}`;</script></body>"
    )
    html = page.read_text(encoding="utf-8").replace("</body>", probe)
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    measured = tmp_path / "measured.html"
    measured.write_text(html, encoding="utf-8")
    dom, _ = _open(chromium, measured, tmp_path / "profile")
    width = re.search(r"<title>wide (\d+) of (\d+)</title>", dom)
    assert width is not None
    assert int(width.group(1)) <= int(width.group(2))
