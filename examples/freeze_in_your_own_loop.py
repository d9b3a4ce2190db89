"""Use only the update rules: freeze parts of a pretrained policy in your own training loop.

thaw train catch --out pretrained --steps 20_000 --set environment.downsample=8
python examples/freeze_in_your_own_loop.py pretrained
"""

from __future__ import annotations

import sys

import thaw
from thaw.policy.update_rules import trained_parameters


def main(checkpoint: str) -> None:
    """Print what trains under each named rule."""
    source = thaw.load_policy(checkpoint)
    tensors = dict(source.parts())
    for name in ("update_all", "freeze_embedding", "freeze_head", "freeze_all"):
        policy = thaw.Policy(source.observation_shape, source.num_actions, source.config)
        thaw.apply_update_rule(policy, thaw.UpdateRule(name), tensors)
        training = trained_parameters(policy)  # give these to your optimizer
        count = sum(parameter.numel() for parameter in training.values())
        total = sum(parameter.numel() for parameter in policy.parameters())
        print(f"{name:18} trains {count:>9,} of {total:,} parameters")


if __name__ == "__main__":
    main(sys.argv[1])
