"""The report in a real browser: nothing on its console, nothing asked for, nothing wider than the window."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from evaluation.report.sections.test_sections import full

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-logging=stderr"]
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium: install Debian's package chromium")
# Scripts run only here, to look at the page from inside; the page itself has none.
PROBE = """<script>
const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
const asked = performance.getEntriesByType("resource").map(each => each.name).filter(name => !name.startsWith("data:"));
document.title = JSON.stringify({wide, asked});
</script>"""


def opened(page: Path, folder: Path, *flags: str) -> tuple[str, list[str]]:
    """Return the page as the browser made it, and the messages on its console."""
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_a_message_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "loud.html"
    page.write_text("<!doctype html><script>console.warn('loud')</script>")
    assert any("loud" in line for line in opened(page, tmp_path)[1])


@pytest.mark.parametrize("size", ["390,844", "1280,900"])
def test_the_report_is_silent_and_fits(size: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(full().to_html())
    assert opened(page, tmp_path, f"--window-size={size}")[1] == []
    # The page's own policy forbids scripts, the probe's too.
    page.write_text(re.sub(r"<meta http-equiv=[^>]+>", "", page.read_text()).replace("</body>", f"{PROBE}</body>"))
    found, said = opened(page, tmp_path, f"--window-size={size}")
    assert said == []
    assert '<title>{"wide":false,"asked":[]}</title>' in found
