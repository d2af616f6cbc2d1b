"""Chromium without a window, driven through a pipe by the DevTools protocol: no port, no further package."""

import base64
import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from browser import CHROMIUM, FLAGS

_FLAGS = (
    *FLAGS,
    "--remote-debugging-pipe",
    *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", "--mute-audio"),
    "--autoplay-policy=no-user-gesture-required",
)
PATIENCE = 60.0  # seconds; only a test that fails waits so long


class Page:
    """One page. requests: every address it asked for. errors: what it put on the console, and uncaught failures."""

    def __init__(self, send: Any, receive: Any) -> None:
        self._out, self._in = send, receive
        self._answers: dict[int, dict[str, Any]] = {}
        self._news = threading.Condition()
        self._number = 0
        self._session: str | None = None
        self._target: str | None = None
        self.requests: list[str] = []
        self.errors: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def open(self, url: str, *, width: int = 1400, height: int = 900, dark: bool = False) -> None:
        """A new tab of this size (in CSS pixels; narrow ones are phones) at an address."""
        if self._target is not None:
            self._session = None
            self.call("Target.closeTarget", targetId=self._target)
        target = self._target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self.call(f"{domain}.enable")
        phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.requests.clear()
        self.errors.clear()
        self.call("Page.navigate", url=url)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol."""
        with self._news:
            self._number += 1
            number = self._number
        message = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        with self._news:
            there = self._news.wait_for(lambda: number in self._answers, PATIENCE)
            assert there, f"no answer to {method}"
            answer = self._answers.pop(number)
        assert "error" not in answer, (method, answer)
        result: dict[str, Any] = answer["result"]
        return result

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = PATIENCE) -> Any:
        """Wait until an expression is true, and give its value."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = self.run(f"(() => {{ try {{ return ({script}) }} catch {{ return false }} }})()")
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"never true: {script}\n{self.run('document.body.innerText')}\n{self.errors}")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key."""
        shared = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **shared)
        self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    def give_file(self, selector: str, path: Path) -> None:
        """Choose a file in an <input type=file>."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def _listen(self) -> None:
        buffer = b""
        while True:
            try:
                chunk = os.read(self._in, 1 << 16)
            except OSError:
                return
            if not chunk:
                return
            *messages, buffer = (buffer + chunk).split(b"\0")
            for raw in messages:
                self._take(json.loads(raw))

    def _take(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"])[:500])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"] + " " + params["entry"].get("url", ""))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(str(params["args"]))
        elif "id" in message:
            with self._news:
                self._answers[message["id"]] = message
                self._news.notify_all()


@contextlib.contextmanager
def browser(folder: Path, *flags: str) -> Iterator[Page]:
    """A Chromium with its profile in `folder`, and the page in it."""
    assert CHROMIUM
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()

    def hand_over() -> None:
        # DevTools reads from 3 and writes to 4; dup first, as the pipes' ends may be 3 or 4 themselves
        reading, writing = os.dup(to_read), os.dup(from_write)
        high = max(reading, writing, 10)
        os.dup2(reading, high + 1)
        os.dup2(writing, high + 2)
        os.dup2(high + 1, 3)
        os.dup2(high + 2, 4)
        os.set_inheritable(3, True)
        os.set_inheritable(4, True)

    command = [CHROMIUM, *_FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    process = subprocess.Popen(
        command, preexec_fn=hand_over, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(to_read)
    os.close(from_write)
    sender = os.fdopen(to_write, "wb")
    page = Page(sender, from_read)
    try:
        yield page
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with contextlib.suppress(OSError):
            sender.close()
        os.close(from_read)
