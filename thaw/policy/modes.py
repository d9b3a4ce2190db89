"""Whether a network computes something else in training mode than in evaluation mode."""

from __future__ import annotations

from types import CodeType, FunctionType

from torch import nn

from thaw.policy.policy import Policy


def depends_on_mode(module: nn.Module) -> bool:
    """Whether a network may compute something else in training than in evaluation mode.

    Dropout and BatchNorm do, and so may a user's own module. Such a module reads ``self.training``,
    so the code of every class is searched for that name. The answer is yes as well for modules with
    buffers, which may be running statistics, and for compiled ones, whose code cannot be seen.
    """
    if next(module.buffers(), None) is not None:
        return True
    return any(_reads_training(type(part)) for part in module.modules())


def policy_depends_on_mode(policy: Policy) -> bool:
    """Whether one of a policy's two parts may (:func:`depends_on_mode`)."""
    return depends_on_mode(policy.embedding) or depends_on_mode(policy.head)


def _reads_training(kind: type[nn.Module]) -> bool:
    own = [base for base in kind.__mro__ if base not in nn.Module.__mro__]
    if any(base.__module__.startswith("torch.jit") for base in own):
        return True
    functions = (f for base in own for f in vars(base).values() if isinstance(f, FunctionType))
    return any(_names_training(function.__code__) for function in functions)


def _names_training(code: CodeType) -> bool:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return "training" in code.co_names or any(map(_names_training, inner))
