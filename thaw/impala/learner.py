"""The learner: one update from one batch of unrolls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch.nn.utils import clip_grad_norm_

from thaw.config.agent import AgentConfig
from thaw.impala.losses import Losses, impala_losses
from thaw.impala.optimizers import Optimizer, build_optimizer
from thaw.impala.teacher import Teacher
from thaw.policy.cuda import Replayed
from thaw.policy.modes import policy_depends_on_mode
from thaw.policy.policy import Policy
from thaw.policy.trajectory import EmbeddingGraph, Trajectory
from thaw.policy.update_rules import FrozenParts, trained_parameters


class Learner:
    """An optimizer on IMPALA's losses, for the parameters that train.

    A part that begins to train within the run enters optimizer and norm clip with the first batch
    that begins at its step or after it, with fresh optimizer state. One that ends to train leaves
    both in the same way.

    Args:
        policy: Updated in place; its frozen parts are not in the optimizer and the norm clip, and
            the rates and pulls of its update rule hold.
        config: Losses and optimizer.
        total_steps: Decisions after which a linear schedule of the learning rate reaches 0.
        teacher: The source policy where it teaches; batches must hold observations then.
        noise_seed: Of what the network draws while it learns, such as dropout.
    """

    def __init__(
        self,
        policy: Policy,
        config: AgentConfig,
        total_steps: int,
        teacher: Teacher | None = None,
        noise_seed: int = 0,
    ) -> None:
        self.teacher = teacher
        self.policy = policy
        self.config = config
        self.total_steps = total_steps
        self.noise_seed = noise_seed if policy_depends_on_mode(policy) else None
        self.num_updates = 0
        self.frozen = FrozenParts(policy)
        self.parameters = trained_parameters(policy)
        self.device = next(policy.parameters()).device
        self.anchors = {name: tensor.to(self.device) for name, tensor in policy.anchors.items()}
        self.is_replayed = self.device.type == "cuda"
        self.optimizer = self._optimizer()
        self._begin(self.parameters)
        self.batch: Trajectory | None = None
        self.replayed: Replayed[dict[str, torch.Tensor]] | None = None

    def _optimizer(self) -> Optimizer:
        """Build an optimizer without state, with one group for each rate."""
        rules = self.policy.part_rules
        groups: dict[float, list[torch.nn.Parameter]] = {}
        for name, parameter in self.parameters.items():
            groups.setdefault(rules[name].lr if name in rules else 1.0, []).append(parameter)
        return build_optimizer(groups, self.config, self.device)

    def _begin(self, names: Iterable[str]) -> None:
        """Give parameters that begin to train the source's optimizer state, if the rule says so."""
        state = self.policy.optimizer_state
        for key in [key for key in state if key.rpartition("/")[0] in names]:
            self._set_state(key, state[key])

    def advance(self, steps: int) -> bool:
        """Let parts begin and end to train whose step has come; :meth:`update` does it too.

        Args:
            steps: Decisions before the next batch.

        Returns:
            Whether any did. The next batch may then have to hold other fields.

        Raises:
            RuntimeError: A tensor changed while it was frozen.
        """
        if not self.frozen.advance(steps):
            return False
        self._follow()
        return True

    def _follow(self) -> None:
        """Give the optimizer what trains now; what trained before keeps its state."""
        before = self.optimizer.state
        self.parameters = trained_parameters(self.policy)
        self.optimizer = self._optimizer()
        for parameter in self.parameters.values():
            if parameter in before:
                self.optimizer.state[parameter] = before[parameter]
        self._begin({n: p for n, p in self.parameters.items() if p not in before})
        self.batch = self.replayed = None  # a CUDA graph still moves what it was captured with

    def learning_rate(self, steps: int) -> float:
        """Return the learning rate after ``steps`` decisions."""
        if self.config.learning_rate_schedule == "constant":
            return self.config.learning_rate
        return self.config.learning_rate * max(0.0, 1.0 - steps / self.total_steps)

    def losses(self, trajectory: Trajectory, embeddings: torch.Tensor | None = None) -> Losses:
        """Run the policy over all T+1 entries from the stored LSTM state; return its losses.

        Args:
            trajectory: T x B decisions.
            embeddings: [T+1, B, D], in place of the trajectory's.
        """
        if embeddings is None:
            embeddings = trajectory.embeddings
        if embeddings is None:
            assert trajectory.observations is not None
            with torch.set_grad_enabled(not self.policy.embedding_frozen):
                embeddings = self.policy.embed(trajectory.observations)
        output = self.policy.unroll(
            embeddings,
            trajectory.first,
            trajectory.last_actions,
            trajectory.last_rewards,
            trajectory.state,
        )
        losses = impala_losses(output, trajectory, self.config)
        if self.teacher is None:
            return losses
        taught = self.teacher.loss(trajectory, output.logits[:-1])
        return losses._replace(total=losses.total + taught)

    def update(
        self, trajectory: Trajectory, steps: int, graph: EmbeddingGraph | None = None
    ) -> dict[str, torch.Tensor]:
        """Take one optimizer step.

        Args:
            trajectory: T x B decisions; its tensors may be on the CPU and on the device.
            steps: Decisions made before this batch; they decide the learning rate.
            graph: How the trajectory's embeddings were computed, if this policy has just computed
                them with gradients; they are then not computed a second time. Consumed.

        Returns:
            Losses and measures of the learner's health by name, each a scalar tensor on its device
            (no synchronization). On a GPU the next update overwrites them.
        """
        self.advance(steps)
        self.policy.train()
        if self.noise_seed is not None:
            # Dropout draws from torch's global generator. With a seed for each update a run is
            # repeatable, and a resumed run draws what it would have drawn.
            torch.manual_seed(self.noise_seed + self.num_updates)
        learning_rate = self.learning_rate(steps)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(learning_rate * group["scale"])
            else:
                group["lr"] = learning_rate * group["scale"]
        if self.teacher is not None:
            self.teacher.begin(steps)
        self.num_updates += 1
        if not self.is_replayed:
            return self._step(trajectory, graph)
        assert graph is None, "on a GPU the captured graph of a second pass is faster"
        if self.batch is None or self.batch.tensors().keys() != trajectory.tensors().keys():
            batch = self.batch = trajectory.copy_to(self.device)
            self.replayed = Replayed(lambda: self._step(batch), self.device)
        else:
            self.batch.copy_from(trajectory)
        assert self.replayed is not None
        return self.replayed()

    def _step(
        self, trajectory: Trajectory, graph: EmbeddingGraph | None = None
    ) -> dict[str, torch.Tensor]:
        """Do the part of an update that runs on the device."""
        embeddings = None
        if graph is not None:
            assert trajectory.embeddings is not None
            embeddings = trajectory.embeddings.detach().requires_grad_()
        losses = self.losses(trajectory, embeddings)
        self.optimizer.zero_grad()
        torch.autograd.backward(losses.total)
        if graph is not None:
            assert embeddings is not None
            assert embeddings.grad is not None
            graph.backward(embeddings.grad)
        self._pull()
        norm = clip_grad_norm_(self.parameters.values(), self.config.max_gradient_norm)
        self.optimizer.step()
        return {
            "total_loss": losses.total.detach(),
            "policy_loss": losses.policy.detach(),
            "baseline_loss": losses.baseline.detach(),
            "entropy_loss": losses.entropy.detach(),
            "mean_rho": losses.mean_rho.detach(),
            "gradient_norm": norm,
        }

    @torch.no_grad()
    def _pull(self) -> None:
        """Add the gradient of ``pull / 2 * |w - w_source|^2`` (L2-SP) to the losses' gradient."""
        for name, parameter in self.parameters.items():
            if name in self.anchors:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                strength = self.policy.part_rules[name].pull
                parameter.grad.add_(parameter - self.anchors[name], alpha=strength)

    def state_tensors(self) -> dict[str, torch.Tensor]:
        """Return the optimizer's state by parameter name, for a checkpoint."""
        state = self.optimizer.state
        return {
            f"{name}/{key}": value
            for name, parameter in self.parameters.items()
            for key, value in state[parameter].items()
            if isinstance(value, torch.Tensor)
        }

    def load_state_tensors(
        self,
        tensors: dict[str, torch.Tensor],
        num_updates: int,
        steps: int = 0,
        digests: Mapping[str, str] | None = None,
    ) -> None:
        """Restore the optimizer's state. The policy's tensors must be restored already.

        Args:
            tensors: As :meth:`state_tensors` returned them.
            num_updates: Updates made so far.
            steps: Decisions learned from so far.
            digests: Of ``frozen.digests()``, when the state was saved.

        Raises:
            RuntimeError: A frozen tensor differs from what it was when it was frozen.
        """
        self.num_updates = num_updates
        self.frozen.resume(steps, digests or {})
        self._follow()
        for key, value in tensors.items():
            if key.rpartition("/")[0] not in self.policy.frozen:  # else it ends to train now
                self._set_state(key, value)

    def _set_state(self, key: str, value: torch.Tensor) -> None:
        """Set one tensor of the optimizer's state, named as by :meth:`state_tensors`."""
        name, _, slot = key.rpartition("/")
        parameter = self.parameters[name]
        # PyTorch keeps the optimizer's step count on the CPU, unless a CUDA graph captures it.
        stays = slot == "step" and not self.is_replayed
        device = value.device if stays else parameter.device
        self.optimizer.state[parameter][slot] = value.to(device, copy=True)
