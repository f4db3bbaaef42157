"""Where the things under test and the programs that test them are."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DRIVERS = Path(__file__).resolve().parent / "drivers"
_BUILT = ROOT / "target" / "debug"


def _place(variable, default):
    return Path(os.environ.get(variable, default)).resolve()


LIBRARY = _place("PLIMSOLL_TEST_LIBRARY", _BUILT / "libplimsoll.so")
PROGRAM = _place("PLIMSOLL_TEST_PROGRAM", _BUILT / "plimsoll")
NODE_PACKAGES = _place("PLIMSOLL_TEST_NODE", ROOT / "target" / "node")
SUITES = _place("PLIMSOLL_TEST_SUITES", ROOT / "target" / "suites")
VENV = ROOT / ".venv" / "bin"

# Without its suffix, as load_extension takes it.
EXTENSION = str(LIBRARY.with_suffix(""))

# What programs and tests share lies with the programs.
sys.path.append(str(DRIVERS))
