"""Names of files that every system can hold, and tell apart: what comes out of an archive has no others."""

from __future__ import annotations

import re
import unicodedata

_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])", re.IGNORECASE)
_TURNING = {
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    0x200E,
    0x200F,
}  # what a name looks like would not be what it is


class PortableNames:
    """The names that came so far, by which one is known that another system would take for the same."""

    def __init__(self) -> None:
        self._spelled: dict[str, str] = {}

    def refusal(self, path: str) -> str | None:
        """Why a file may not have this relative path, as the end of a sentence; None if it may, and is then remembered."""
        parts = path.split("/")
        if (why := next(filter(None, map(_flaw, parts)), None)) is not None:
            return why
        above = ""
        for part in parts:
            above = f"{above}/{part}" if above else part
            spelled = self._spelled.setdefault(_key(above), above)
            if spelled != above:
                return f"beside {spelled!r}, which many systems take for the same name"
        return None


def _key(path: str) -> str:
    """The same for names that differ in upper and lower case or in Unicode form only."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _flaw(part: str) -> str | None:
    if any(unicodedata.category(sign) in ("Cc", "Cs") or ord(sign) in _TURNING for sign in part):
        return "whose name has control characters"
    if ":" in part:
        return "whose name has a colon, which names a drive or a stream on Windows"
    if part[-1] in ". ":
        return "whose name ends in a dot or a blank, which Windows drops"
    if _DEVICES.fullmatch(part.partition(".")[0].rstrip(" ")):
        return "whose name Windows keeps for a device"
    return None
