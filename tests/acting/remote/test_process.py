"""The program of an actor process, called in this process."""

from __future__ import annotations

from recorder import make_config
from remote_runs import actor_process

from thaw.acting.actor import Actor
from thaw.acting.remote.process import Task


def test_an_error_of_an_actor_is_its_answer() -> None:
    one = actor_process(0, 1, 0, make_config(), frozen=False)
    failure = one.collect({}, 0)
    assert (failure.error, failure.is_input_error) == ("KeyError: 'embedding.linear.weight'", False)
    assert "Traceback" in failure.traceback
    one = actor_process(0, 1, 0, make_config(), frozen=False)
    one.task = Task(**(vars(one.task) | {"num_envs": 0}))
    failure = one.collect({}, 0)
    assert (failure.error, failure.is_input_error) == ("num_envs is 0; it must be at least 1", True)


def test_actors_are_in_evaluation_mode_and_learn_nothing() -> None:
    one = actor_process(0, 1, 0, make_config(), frozen=False)
    one.build()
    assert isinstance(one.actor, Actor)
    assert not any(module.training for module in one.policy.modules())
    assert not any(parameter.requires_grad for parameter in one.policy.parameters())
