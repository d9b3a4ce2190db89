"""The update rules that have a name: their text, what each does, when to take it, its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class NamedRule(NamedTuple):
    """An update rule that people know by name."""

    text: str
    """As :class:`thaw.config.update_rule.UpdateRule` reads it."""
    what: str
    """What it does, in one sentence."""
    found: str
    """What its source found or says, in one sentence."""
    when: str
    """When to take it, in one sentence."""
    origin: str
    """Where it is from."""


_PAPER = "Dean, Toyama, Precup 2022, section 3.3"

NAMED_RULES: Mapping[str, NamedRule] = {
    "scratch": NamedRule(
        "embedding=random:trained,head=random:trained",
        "All weights are drawn, and all of them train.",
        "The paper compares every rule with it.",
        "It is the control: what training without a past gives.",
        _PAPER,
    ),
    "update_all": NamedRule(
        "embedding=source:trained,head=source:trained",
        "All weights come from the source policy, and all of them train.",
        "In the paper's Atari transfers it is the best rule most of the time (table 1).",
        "It is plain fine-tuning, the rule that every other one must beat.",
        _PAPER,
    ),
    "freeze_embedding": NamedRule(
        "embedding=source:frozen,head=source:trained",
        "The embedding stays as it was, and the head trains.",
        "In the paper it beats freeze_head on Hero and, narrowly, on Breakout (table 1).",
        "Take it where the behavior changes and the appearance does not.",
        _PAPER,
    ),
    "freeze_head": NamedRule(
        "embedding=source:trained,head=source:frozen",
        "The head stays as it was, and the embedding trains.",
        "In the paper it beats freeze_embedding on three flavors of Space Invaders (table 1).",
        "Take it where the appearance changes and the behavior does not.",
        _PAPER,
    ),
    "freeze_all": NamedRule(
        "embedding=source:frozen,head=source:frozen",
        "Nothing trains; the source policy is only scored.",
        "What update_all adds to it is what training in the target is worth.",
        "It is the control: what the source policy gives without training.",
        _PAPER,
    ),
    "linear_probe_then_all": NamedRule(
        "embedding=source:trained@25%,head=source:trained@25%,"
        "head.policy=random:trained,head.value=random:trained",
        "The two last linear layers are drawn and train first; everything trains after a quarter "
        "of the run.",
        "In image classification it beat fine-tuning, most of all on pictures unlike those of "
        "the training.",
        "Take it where new last layers would send large gradients through good features.",
        "LP-FT: Kumar et al. 2022, arXiv 2202.10054",
    ),
    "gradual_unfreezing": NamedRule(
        "head=source:trained,embedding=source:trained@60%,embedding[-1]=source:trained@15%,"
        "embedding[-2]=source:trained@30%,embedding[-3]=source:trained@45%",
        "The head trains first, then the embedding's blocks join, the last one first.",
        "In text classification it helped against forgetting: the last layers hold the least "
        "general knowledge.",
        "Take it where the first layers fit both environments and should move last.",
        "ULMFiT: Howard, Ruder 2018, arXiv 1801.06146",
    ),
    "layer_decay": NamedRule(
        "head=source:trained,embedding=source:trained:lr=0.0625,"
        "embedding[-1]=source:trained:lr=0.5,embedding[-2]=source:trained:lr=0.25,"
        "embedding[-3]=source:trained:lr=0.125",
        "Everything trains; each block of the embedding has half the rate of the block after it.",
        "In text classification it helped, because layers hold different kinds of knowledge; "
        "there the factor was 2.6.",
        "Take it instead of freezing, where the first layers should move little.",
        "Discriminative rates: Howard, Ruder 2018, arXiv 1801.06146; the factor 2 is thaw's",
    ),
    "l2_sp": NamedRule(
        "embedding=source:trained:pull=1,head=source:trained:pull=1",
        "Everything trains, and a quadratic penalty draws each weight to the source's.",
        "In image classification it beat plain weight decay, which draws to 0 and not to the "
        "source.",
        "Take it where fine-tuning forgets what the source policy can do; try several strengths.",
        "L2-SP: Li, Grandvalet, Davoine 2018, arXiv 1802.01483; the strength is thaw's",
    ),
    "shrink_and_perturb": NamedRule(
        "embedding=source~0.3:trained,head=source~0.3:trained",
        "Each weight starts as 0.7 times the source's plus 0.3 times a fresh one.",
        "Networks that go on from trained weights can generalize worse than fresh ones; in "
        "image classification this closed the gap.",
        "Take it where a policy that trained for long no longer learns.",
        "Ash, Adams 2020, arXiv 1910.08475; the shares are thaw's",
    ),
    "reset_value": NamedRule(
        "embedding=source:trained,head=source:trained,head.value=random:trained",
        "The value layer is drawn, the rest comes from the source policy, and everything trains.",
        "Agents that overfit to their first experience got better when their last layers were "
        "reset from time to time.",
        "Take it where the returns of source and target have another scale.",
        "Resets of last layers: Nikishin et al. 2022, arXiv 2205.07802",
    ),
    "critic_warm_up": NamedRule(
        "embedding=source:trained@10%,head=source:trained@10%,head.value=random:trained",
        "The value layer is drawn and trains alone for a tenth of the run; then everything trains.",
        "Two libraries for fine-tuning by reinforcement have a switch for it.",
        "Take it where a policy breaks because its first value estimates are wrong.",
        "critic_warmup_steps of RLinf, policy_training_start_step of NeMo-RL",
    ),
    "first_block_only": NamedRule(
        "embedding=source:frozen,embedding[0]=source:trained,head=source:frozen",
        "Only the embedding's first block trains.",
        "In image classification it was the best choice where the pictures were corrupted.",
        "Take it where the pixels change and what they show does not.",
        "Surgical fine-tuning: Lee et al. 2023, arXiv 2210.11466",
    ),
    "last_block_and_head": NamedRule(
        "embedding=source:frozen,embedding[-1]=source:trained,head=source:trained",
        "The embedding's last block and the head train.",
        "Features get more specific to their task from layer to layer, so the last ones "
        "transfer least.",
        "Take it where freeze_embedding is too stiff.",
        "Yosinski et al. 2014, arXiv 1411.1792",
    ),
    "random_features": NamedRule(
        "embedding=random:frozen,head=random:trained",
        "The embedding is drawn and never trains; the head is drawn and trains.",
        "Random features are enough for curiosity in many games.",
        "It is a control: whether pretrained features beat random ones.",
        "Random features: Burda et al. 2019, arXiv 1808.04355",
    ),
    "kickstart": NamedRule(
        "embedding=source:trained,head=source:trained,teacher=0.5:decay=50%",
        "Everything trains, and the source policy teaches: the loss has the divergence from its "
        "action probabilities, with a weight that falls to 0 in half of the run.",
        "In NetHack, keeping what the source policy can do doubled the score of fine-tuning.",
        "Take it where training forgets what the source policy can do before it is of use.",
        "Kickstarting: Schmitt et al. 2018, arXiv 1803.03835; Wolczyk et al. 2024, "
        "arXiv 2402.02868; the numbers are thaw's",
    ),
    "norms_only": NamedRule(
        "embedding=source:frozen,embedding[norms]=source:trained,head=source:frozen",
        "Only the embedding's normalization layers train.",
        "Even in a network of random weights, training these layers alone gives a good classifier.",
        "Take it where brightness or contrast change; the built-in networks have no such layers.",
        "Frankle, Schwab, Morcos 2021, arXiv 2003.00152",
    ),
}
"""By name; :data:`PAPER_RULES` first."""

PAPER_RULES = ("scratch", "update_all", "freeze_embedding", "freeze_head", "freeze_all")
"""The four formulations of the paper, and scratch."""
