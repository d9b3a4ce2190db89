"""Planted bugs of ``thaw/adapters/``."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "in a loop of others all parts have one rate",
        "adapters/rates.py",
        'group["lr"] = written * group[TIMES]',
        'group["lr"] = written',
        "adapters/test_any_module.py adapters/test_sb3.py",
        "rate",
    ),
    Bug(
        "in a loop of others a part keeps the rate of its first step",
        "adapters/rates.py",
        'group["lr"] = group.pop(_WRITTEN)',
        "group.pop(_WRITTEN)",
        "adapters/test_any_module.py",
        "rate",
    ),
    Bug(
        "in a loop of others frozen modules are switched to training mode",
        "adapters/module_parts.py",
        "        if part in self.held:\n",
        "        if False:\n",
        "adapters/test_any_module.py adapters/test_sb3.py",
        "statistics",
    ),
    Bug(
        "in a loop of others a part that begins late does not get its pull",
        "adapters/any_module.py",
        "        changed = self._frozen.advance(steps)\n        self._pull()\n",
        "        changed = self._frozen.advance(steps)\n",
        "adapters/test_any_module.py",
        "pull",
    ),
    Bug(
        "a model of Stable-Baselines3 with rates cannot be loaded again",
        "adapters/sb3.py",
        "    if len(groups) > 1:\n",
        "    if len(groups) > 9:\n",
        "adapters/test_sb3.py",
        "saved_model",
    ),
    Bug(
        "a DQN's target network begins with other weights",
        "adapters/sb3.py",
        "        model.policy.q_net_target.load_state_dict(model.policy.q_net.state_dict())\n",
        "        pass\n",
        "adapters/test_sb3.py",
        "target_network",
    ),
    Bug(
        "a missing zip of Stable-Baselines3 is taken for a file of another kind",
        "adapters/sb3.py",
        "        except FileNotFoundError:\n",
        "        except ZeroDivisionError:\n",
        "adapters/test_sb3.py",
        "wrong_input",
    ),
)
