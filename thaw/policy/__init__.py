"""The policy, its networks, and the update rules that freeze parts of it."""

from thaw.policy.policy import Acting, Policy, UniformPolicy

__all__ = ["Acting", "Policy", "UniformPolicy"]
