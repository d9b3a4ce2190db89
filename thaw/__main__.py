"""``python -m thaw`` is the program ``thaw``."""

import sys

from thaw.cli import main

sys.exit(main())
