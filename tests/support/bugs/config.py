"""Planted bugs of ``thaw/config/``."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "a run's hash leaves out its agent",
        "config/run_spec.py",
        "return content_hash_of(to_plain(self))",
        "return content_hash_of(to_plain(self) | {'agent': 0})",
        "training/test_run.py",
        "hash",
    ),
    Bug(
        "an environment's seed is taken and ignored",
        "config/run_spec.py",
        "for name, reason in NOT_OPTIONS.items():",
        "for name, reason in ():",
        "config/test_run_spec.py",
        "run_says_itself",
    ),
    Bug(
        "a preset replaces what the agent names",
        "config/presets.py",
        "{**PRESETS[name], **own}",
        "{**own, **PRESETS[name]}",
        "config/test_presets.py",
    ),
    Bug(
        "a rule's part begins and ends one update late",
        "config/update_rule.py",
        "(steps >= self.at)",
        "(steps > self.at)",
        "impala/test_learner.py config/test_update_rule.py",
        "hand or part",
    ),
    Bug(
        "a rule's step may lie beyond the budget",
        "config/run_spec.py",
        "            self.update_rule.within(self.steps)\n",
        "            pass\n",
        "config/test_update_rule.py",
        "beyond",
    ),
    Bug(
        "a rule's star stands for no segment too",
        "config/parts.py",
        "for n in range(1, len(segments) + 1))",
        "for n in range(len(segments) + 1))",
        "config/test_update_rule.py",
        "far",
    ),
    Bug(
        "a rule's first match wins, not the longest",
        "config/update_rule.py",
        "longest = max(length for length, _, _ in found)",
        "longest = next(length for length, _, _ in found if length[0] >= 0)",
        "config/test_update_rule.py policy/test_update_rules.py",
        "longest",
    ),
    Bug(
        "a rule's neutral rate is written into the text",
        "config/update_rule.py",
        'lr = f":lr={_number(self.lr)}" if self.lr != 1 else ""',
        'lr = f":lr={_number(self.lr)}"',
        "config/test_update_rule.py",
        "texts",
    ),
    Bug(
        "a new field is in the hashes of runs that do not use it",
        "config/strict.py",
        "if name in defaults and value == defaults[name]:",
        "if False:",
        "config/test_agent.py",
        "came_later",
    ),
    Bug(
        "pretrained weights count by their path",
        "config/run_spec.py",
        'if agent.get("embedding_sha256") is not None:',
        "if False:",
        "config/test_agent.py",
        "wherever_they_lie",
    ),
    Bug(
        "a head names code without permission",
        "config/agent.py",
        'names = {"embedding": self.embedding, "head": self.head}',
        'names = {"embedding": self.embedding}',
        "files/test_checkpoint.py",
        "every_network",
    ),
)
