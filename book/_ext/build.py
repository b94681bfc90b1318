"""Build the book: ``python book/_ext/build.py`` (which is what ``make book`` calls)."""

from __future__ import annotations

import signal
import sys

from book_build.pipeline import main

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop as on Ctrl-C
    sys.exit(main())
