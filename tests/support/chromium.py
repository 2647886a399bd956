"""Drive Chromium over its DevTools protocol; without Chromium a test is skipped, but not in CI."""

import asyncio
import itertools
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support import programs

SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)  # fmt: skip

ROLES = frozenset(("button", "searchbox", "checkbox", "link", "image", "progressbar", "region", "DisclosureTriangle"))
"""The accessibility roles of elements that need a name."""

CONTRAST = (Path(__file__).parent / "contrast.js").read_text("utf-8")
"""Script that returns the texts with a contrast below 4.5 (WCAG 2.2, AA)."""


class Tab:
    """A browser tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.requested: list[str] = []
        self.errors: list[str] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=120)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._record(message["method"], message["params"])

    def _record(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.errors.append(params["entry"]["text"])

    async def run(self, script: str) -> Any:
        result = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def evaluate(self, script: str) -> Any:
        """Run a script; axe-playwright-python calls this method."""
        return await self.run(script)

    async def show(self, url: str, *, width: int, dark: bool = False) -> None:
        """Open a page in a window of this width."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def until(self, condition: str) -> None:
        while not await self.run(condition):  # noqa: ASYNC110 - the browser sets no events
            await asyncio.sleep(0.005)

    async def press(self, key: str) -> None:
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key if len(key) == 1 else "")
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def unnamed_elements(self) -> list[str]:
        """Return the roles of elements without an accessible name."""
        tree = await self.call("Accessibility.getFullAXTree")
        return [
            node["role"]["value"]
            for node in tree["nodes"]
            if not node["ignored"] and node["role"]["value"] in ROLES and not node["name"]["value"]
        ]


@asynccontextmanager
async def open_browser(directory: Path) -> AsyncGenerator[Tab, None]:
    """Start a browser with one tab."""
    program = programs.require("chromium", "chromium", "chromium-browser", "google-chrome")
    process = await asyncio.create_subprocess_exec(
        program, *SWITCHES, f"--user-data-dir={directory / 'chromium'}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        address = None
        while address is None:
            line = await process.stderr.readline()
            assert line, "Chromium exited at the start"
            address = re.search(rb"DevTools listening on ws://([^/]+)/", line)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{address[1].decode()}/json") as response:
                (page,) = [each for each in await response.json() if each["type"] == "page"]
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
                    await tab.call(f"{domain}.enable")
                yield tab
    finally:
        process.terminate()
        await process.communicate()
