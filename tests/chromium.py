"""Headless Chromium, driven over its debugging pipe: no driver and no further package."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SECONDS = 60.0


def chromium_path() -> str:
    """Return the browser's path; the test is skipped where there is none."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("no Chromium: install it, or set $CHROMIUM")
    return found


class Tab:
    """A page of the browser.

    Attributes:
        messages: what the page wrote on its console, and its errors.
        requests: the addresses that it asked for.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session = ""
        self.messages: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "DOM", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def open(self, url: str, width: int = 1280, height: int = 900) -> None:
        """Load an address in a window of this size."""
        mobile = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """Return the value of an expression, awaited."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, script: str) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            if self.run(f"Boolean({script})"):
                return
            time.sleep(0.1)
        raise AssertionError(f"never true: {script}; {self.messages}")

    def choose(self, selector: str, *files: Path) -> None:
        """Choose files in an input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in files])

    def press(self, key: str, code: int) -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)

    def dark(self, on: bool = True) -> None:
        """Ask for dark or light colours."""
        value = "dark" if on else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def picture(self, path: Path) -> None:
        """Write a picture of the whole page."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Log.entryAdded":
                self.messages.append(parameters["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.messages.append(str(parameters["exceptionDetails"]))
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            readable, _, _ = select.select([self._answers], [], [], _SECONDS)
            assert readable, "the browser does not answer"
            piece = os.read(self._answers, 1 << 20)
            assert piece, "the browser has ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        document: dict[str, Any] = json.loads(message)
        return document


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Tab]:
    """Start the browser with an empty profile and yield a page of it."""
    command = [chromium_path(), "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    command += ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--no-proxy-server"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]
    reads_commands, commands = os.pipe()
    answers, writes_answers = os.pipe()

    def connect() -> None:
        # The browser reads its descriptor 3 and writes 4; copies first, since a pipe may have these numbers itself.
        first, second = os.dup(reads_commands), os.dup(writes_answers)
        os.dup2(first, 3)
        os.dup2(second, 4)

    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command, stdin=quiet, stdout=quiet, stderr=quiet, close_fds=False, preexec_fn=connect, start_new_session=True
    )
    try:
        os.close(reads_commands)
        os.close(writes_answers)
        yield Tab(commands, answers)
    finally:
        os.close(commands)
        os.close(answers)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()
