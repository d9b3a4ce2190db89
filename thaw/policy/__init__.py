"""What acts, learns and freezes: the policy, its networks and its update rules."""

from thaw.policy.policy import Acting, Policy, UniformPolicy

__all__ = ["Acting", "Policy", "UniformPolicy"]
