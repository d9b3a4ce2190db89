"""A headless Chromium that opens a page from the disk and tells what went wrong in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
DRIVER = shutil.which("chromedriver")
WHY_NOT = "" if BROWSER and DRIVER else "no Chromium here (Debian: apt-get install chromium-driver)"
"""Why browser tests are skipped on this machine; empty where they run."""

_ARGUMENTS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """Start a browser that keeps its data in a new folder."""
    assert BROWSER is not None
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    for argument in (*_ARGUMENTS, *sandbox, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def set_screen(driver: webdriver.Chrome, width: int, height: int = 900) -> None:
    """Set the width and height of the page's window in CSS pixels, as on a phone or a desk."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )


def set_theme(driver: webdriver.Chrome, theme: str) -> None:
    """Let the page see a preference for ``light`` or ``dark``."""
    features = [{"name": "prefers-color-scheme", "value": theme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def console(driver: webdriver.Chrome) -> list[str]:
    """Return the console's warnings and errors since the last call."""
    entries: list[dict[str, Any]] = driver.get_log("browser")  # type: ignore[no-untyped-call]
    return [str(entry["message"]) for entry in entries if entry["level"] in ("WARNING", "SEVERE")]


def requests(driver: webdriver.Chrome) -> list[str]:
    """Return the addresses that were asked for since the last call.

    ``data:`` is no request, and ``chrome:`` is the browser's own first page.
    """
    entries: list[dict[str, Any]] = driver.get_log("performance")  # type: ignore[no-untyped-call]
    events = [json.loads(entry["message"])["message"] for entry in entries]
    addresses = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    return [address for address in addresses if not address.startswith(("data:", "chrome:"))]
