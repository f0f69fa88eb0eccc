"""What ``make bench`` measured, kept for the README: one section for each kind of program."""

from __future__ import annotations

import datetime
import json
import platform
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "results.json"


def keep(section: str, found: Any) -> None:
    """Replace one section."""
    kept: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    kept["date"] = datetime.date.today().isoformat()
    kept["python"] = platform.python_version()
    kept[section] = found
    FILE.write_text(json.dumps(kept, indent=1) + "\n")
