"""Runs whose actors are Ray processes, in an environment that takes no time."""

from __future__ import annotations

from typing import Any

from counting_env import NUM_ACTIONS, OBSERVATION_SIZE
from small_runs import changed

from thaw.acting.remote.process import ActorProcess, Task
from thaw.config.agent import AgentConfig
from thaw.config.flavor import Flavor
from thaw.config.run_spec import EvaluationConfig, RunSpec
from thaw.config.update_rule import UpdateRule

UNROLL, ENVS, ACTORS = 10, 10, 5

BATCH_STEPS = UNROLL * ENVS

SPEC = RunSpec(
    condition="pretrain",
    flavor=Flavor("gym/remote_envs:Context-v0"),
    update_rule=UpdateRule("scratch"),
    seed=0,
    steps=100 * BATCH_STEPS,
    environment={"num_envs": ENVS},
    agent=AgentConfig(
        embedding="mlp", embedding_size=32, lstm_size=16, fc_size=16, unroll_length=UNROLL,
        clock="asynchronous", learning_rate=0.01, discount=0.0,
    ),
    evaluation=EvaluationConfig(episodes=100),
)  # fmt: skip


def few(num_actors: int = 2, num_updates: int = 10, **environment: Any) -> RunSpec:
    return changed(
        SPEC,
        agent={"actors": num_actors},
        steps=num_updates * 4 * UNROLL,
        environment={"num_envs": 4} | environment,
        evaluation=EvaluationConfig(episodes=4),
    )


def actor_process(number: int, num_envs: int, first: int, config: AgentConfig, frozen: bool) -> Any:
    """The program of an actor, of environments that count."""
    spec = RunSpec(
        condition="pretrain",
        flavor=Flavor(f"gym/remote_envs:Numbered-v0?number={number}"),
        update_rule=UpdateRule("scratch"),
        seed=0,
        steps=1,
        agent=config,
    )
    return ActorProcess(
        Task(
            spec=spec,
            observation_shape=(OBSERVATION_SIZE,),
            num_actions=NUM_ACTIONS,
            num_envs=num_envs,
            first_environment=first,
            store_embeddings=frozen,
            seed=number,
        )
    )
