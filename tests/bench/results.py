"""Keeps the figures of the last ``make bench`` for the README."""

from __future__ import annotations

import datetime
import json
import platform
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "results.json"


def save(section: str, ratios: list[tuple[str, str, float]], figures: list[str]) -> None:
    """Replace one section: (what, beside, ratio) rows, and sentences."""
    kept: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    kept["date"] = datetime.date.today().isoformat()
    kept["python"] = platform.python_version()
    rows = [{"what": what, "beside": beside, "ratio": round(ratio, 2)} for what, beside, ratio in ratios]
    kept[section] = {"ratios": rows, "figures": figures}
    FILE.write_text(json.dumps(kept, indent=1) + "\n")
