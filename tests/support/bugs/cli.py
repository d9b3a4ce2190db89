"""Planted bugs of ``thaw/cli/``."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "signals are handled after the imports only",
        "cli/main.py",
        "    if arguments and arguments[0] in SAVING_COMMANDS:\n",
        "    if False:\n",
        "experiment/test_signals.py",
        "before_the_imports",
    ),
    Bug(
        "what an environment prints goes to the results",
        "cli/output.py",
        "            os.dup2(2, 1)\n",
        "            pass\n",
        "experiment/test_misbehaving.py",
        "prints_stays_out",
    ),
    Bug(
        "a suite with a damaged log is all done",
        "cli/suites.py",
        "    return 1 if summary.failed or reported.left_out else 0\n",
        "    return 1 if summary.failed else 0\n",
        "experiment/test_damaged_runs.py",
        "fails_the_suite",
    ),
    Bug(
        "a published page holds the library of interactive curves",
        "cli/publish.py",
        "report_suite(out, interactive=False)",
        "report_suite(out)",
        "experiment/test_published.py",
        "the_command",
    ),
    Bug(
        "--static is not heard",
        "cli/reports.py",
        "interactive=not static)\n        print_report",
        "interactive=True)\n        print_report",
        "experiment/test_published.py",
        "the_command",
    ),
    Bug(
        "a missing option is named only if its value is one word",
        "cli/parsing.py",
        r'r"^│ {5}(\S.*?) *│$"',
        r'r"^│ {5}([\w -]*) *│$"',
        "cli/test_parsing.py",
    ),
    Bug(
        "one episode is said to have a standard error",
        "cli/runs.py",
        'sem, what = "", "return"',
        'sem, what = "", "mean and standard error"',
        "cli/test_runs.py",
        "one_episode",
    ),
    Bug(
        "one episode is told as several",
        "cli/runs.py",
        'return "1 episode" if number == 1 else',
        "return",
        "acting/test_video.py",
        "films_chance",
    ),
)
