"""A real browser without a window, and just enough of PNG to look at what it shows."""

import shutil
import subprocess
import zlib
from collections import Counter
from pathlib import Path

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
Colour = tuple[int, int, int]


def browse(page: Path, *flags: str, width: int = 1280, height: int = 1600) -> str:
    """What the browser prints with these flags."""
    assert BROWSER is not None
    profile = page.parent / "profile"
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            *flags,
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    return done.stdout


def screenshot(page: Path, target: Path, *, dark: bool, width: int, height: int) -> None:
    """A picture of the top of a page."""
    scheme = [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    browse(page, f"--screenshot={target}", *scheme, width=width, height=height)


def pixels(png: bytes) -> Counter[Colour]:
    """How often each colour is in a picture of 8 bits a channel that is not interlaced."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
    depth, kind, interlaced = png[24], png[25], png[28]
    assert (depth, interlaced) == (8, 0)
    size = {2: 3, 6: 4}[kind]
    data, at = b"", 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    raw = zlib.decompress(data)
    found = Counter[Colour]()
    above = bytearray(width * size)
    for number in range(height):
        start = number * (width * size + 1)
        row = bytearray(raw[start + 1 : start + 1 + width * size])
        _unfilter(raw[start], row, above, size)
        found.update(zip(row[0::size], row[1::size], row[2::size], strict=True))
        above = row
    return found


def _unfilter(kind: int, row: bytearray, above: bytearray, size: int) -> None:
    for i in range(len(row)):
        left = row[i - size] if i >= size else 0
        corner = above[i - size] if i >= size else 0
        guess = (0, left, above[i], (left + above[i]) // 2, _nearest(left, above[i], corner))[kind]
        row[i] = (row[i] + guess) & 0xFF


def _nearest(left: int, above: int, corner: int) -> int:
    """Paeth's predictor (PNG specification, 9.4)."""
    about = left + above - corner
    return min((left, above, corner), key=lambda value: abs(about - value))
