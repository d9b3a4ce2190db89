"""``python -m thaw`` is the same command as ``thaw``."""

import sys

from thaw.cli import main

sys.exit(main())
