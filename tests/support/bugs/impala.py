"""Planted bugs of ``thaw/impala/``."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "rho and c clips are swapped",
        "impala/losses.py",
        "        rho_bar=config.rho_bar,\n        c_bar=config.c_bar,\n",
        "        rho_bar=config.c_bar,\n        c_bar=config.rho_bar,\n",
        "impala/test_losses.py",
    ),
    Bug(
        "the clip of rho is applied to the trace coefficients",
        "impala/vtrace.py",
        "(ratios if c_bar is None else ratios.clamp(max=c_bar))",
        "rhos",
        "impala/test_vtrace.py",
    ),
    Bug(
        "lambda is dropped",
        "impala/vtrace.py",
        "cs = lambda_ * (",
        "cs = (",
        "impala/test_vtrace.py",
    ),
    Bug(
        "the discount is ignored in the recursion",
        "impala/vtrace.py",
        "discounted_cs = discounts * cs",
        "discounted_cs = cs",
        "impala/test_vtrace.py",
    ),
    Bug(
        "the policy gradient uses v_t instead of v_t+1",
        "impala/vtrace.py",
        "next_vs = torch.cat((vs[1:], bootstrap_value.unsqueeze(0)))",
        "next_vs = vs",
        "impala/test_vtrace.py",
    ),
    Bug(
        "losses are means over time and batch",
        "impala/losses.py",
        "baseline = (baseline_loss(values, targets.vs) * valid).sum()",
        "baseline = (baseline_loss(values, targets.vs) * valid).mean()",
        "impala/test_losses.py",
    ),
    Bug(
        "a gradient reaches the advantages",
        "impala/losses.py",
        "* advantages.detach()",
        "* advantages",
        "impala/test_losses.py",
    ),
    Bug(
        "an auto-reset is learned from",
        "impala/losses.py",
        "valid = trajectory.valid.to(values.dtype)",
        "valid = torch.ones_like(values)",
        "impala/test_losses.py acting/test_actor.py",
        "reset",
    ),
    Bug(
        "the frozen part counts in the norm clip",
        "impala/learner.py",
        "clip_grad_norm_(self.parameters.values(), ",
        "clip_grad_norm_(self.policy.parameters(), ",
        "impala/test_learner.py",
        "clip or norm",
    ),
    Bug(
        "the learning rate does not fall",
        "impala/learner.py",
        "learning_rate = self.learning_rate(steps)",
        "learning_rate = self.config.learning_rate",
        "impala/test_learner.py",
    ),
    Bug(
        "the learner of a GPU learns from the unroll while it is overwritten",
        "impala/learner.py",
        "            batch = self.batch = trajectory.copy_to(self.device)\n",
        "            batch = self.batch = trajectory\n",
        "impala/test_learner.py",
        "memory_of_its_own",
    ),
    Bug(
        "the mean square of RMSProp starts at 0",
        "impala/optimizers.py",
        "torch.ones_like(parameter)",
        "torch.zeros_like(parameter)",
        "impala/test_learner.py",
        "by_hand or first_step",
    ),
    Bug(
        "epsilon is outside of the root",
        "impala/optimizers.py",
        "        steps: Any = torch._foreach_add(squares, self.eps)\n"
        "        torch._foreach_rsqrt_(steps)\n",
        "        steps: Any = torch._foreach_sqrt(squares)\n"
        "        torch._foreach_add_(steps, self.eps)\n"
        "        torch._foreach_reciprocal_(steps)\n",
        "impala/test_learner.py",
        "by_hand",
    ),
    Bug(
        "rewards are not scaled",
        "impala/losses.py",
        "trajectory.rewards * config.reward_scale",
        "trajectory.rewards * 1.0",
        "impala/test_losses.py",
        "scaled",
    ),
    Bug(
        "a rule's rate is ignored",
        "impala/learner.py",
        "rules[name].lr if name in rules else 1.0",
        "1.0",
        "impala/test_learner.py",
        "(hand and rates) or one_group",
    ),
    Bug(
        "a rule's pull is added after the clip",
        "impala/learner.py",
        "        self._pull()\n"
        "        norm = clip_grad_norm_(self.parameters.values(), self.config.max_gradient_norm)\n",
        "        norm = clip_grad_norm_(self.parameters.values(), self.config.max_gradient_norm)\n"
        "        self._pull()\n",
        "impala/test_learner.py",
        "hand and pull",
    ),
    Bug(
        "a rule's part that goes on loses its optimizer state when another begins",
        "impala/learner.py",
        "            if parameter in before:\n",
        "            if False:\n",
        "impala/test_learner.py",
        "hand and begins",
    ),
    Bug(
        "a rule's part that ended stays in the optimizer",
        "impala/learner.py",
        "        before = self.optimizer.state\n"
        "        self.parameters = trained_parameters(self.policy)\n",
        "        before = self.optimizer.state\n"
        "        self.parameters |= trained_parameters(self.policy)\n",
        "impala/test_learner.py training/test_schedules.py",
        "hand or bitwise",
    ),
    Bug(
        "a rule's change does not capture the update again",
        "impala/learner.py",
        "        self.batch = self.replayed = None  #",
        "        #",
        "impala/test_learner.py",
        "captured",
    ),
    Bug(
        "a rule's teacher forgets the unroll before",
        "impala/teacher.py",
        "            self.state.copy_(output.state)\n",
        "",
        "impala/test_teacher.py",
        "hand",
    ),
    Bug(
        "a rule's teacher is the student's divergence from it, turned around",
        "impala/teacher.py",
        "(theirs.exp() * (theirs - logits.log_softmax(-1)))",
        "(logits.softmax(-1) * (logits.log_softmax(-1) - theirs))",
        "impala/test_teacher.py",
        "hand",
    ),
    Bug(
        "a rule's teacher keeps its first weight",
        "impala/learner.py",
        "            self.teacher.begin(steps)\n",
        "            pass\n",
        "impala/test_teacher.py",
        "moment",
    ),
    Bug(
        "a rule's parts begin with a fresh optimizer although it names the source's",
        "impala/learner.py",
        "            self._set_state(key, state[key])\n",
        "            pass\n",
        "training/test_schedules.py",
        "state_of_the_source",
    ),
)
