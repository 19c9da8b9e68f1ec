"""Chromium without a window, driven by the WebDriver protocol over plain HTTP."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any


def installed() -> bool:
    """Whether there is a browser and its driver."""
    return bool(shutil.which("chromedriver") and (shutil.which("chromium") or _chrome()))


def _chrome() -> str | None:
    return shutil.which("google-chrome") or shutil.which("chromium-browser")


class Browser:
    """One browser; a context manager."""

    def __enter__(self) -> "Browser":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        command = ["chromedriver", f"--port={self._port}"]
        self._driver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        options = {
            "binary": shutil.which("chromium") or _chrome(),
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        }
        asked = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        try:
            self._wait()
            capabilities = {"capabilities": {"alwaysMatch": asked}}
            session = self._call("POST", "/session", capabilities)["sessionId"]
        except BaseException:
            self._stop()
            raise
        self._session = f"/session/{session}"
        return self

    def __exit__(self, *_):
        try:
            self._call("DELETE", self._session)
        finally:
            self._stop()

    def open(self, page: Path, width: int, scheme: str = "light") -> None:
        """Loads a page at a width in pixels and a colour scheme."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self._tools("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._tools("Emulation.setEmulatedMedia", {"features": [feature]})
        self._call("POST", f"{self._session}/url", {"url": page.as_uri()})

    def run(self, script: str) -> Any:
        """Returns what a script returns."""
        body = {"script": script, "args": []}
        return self._call("POST", f"{self._session}/execute/sync", body)

    def log(self) -> list[str]:
        """Returns everything on the console since the last call: errors, refused requests."""
        entries = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries]

    def _tools(self, command: str, parameters: dict) -> None:
        body = {"cmd": command, "params": parameters}
        self._call("POST", f"{self._session}/goog/cdp/execute", body)

    def _call(self, method: str, path: str, body: dict | None = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def _wait(self) -> None:
        for _ in range(300):
            try:
                self._call("GET", "/status")
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise TimeoutError("chromedriver did not start")

    def _stop(self) -> None:
        self._driver.terminate()
        self._driver.wait(timeout=30)
