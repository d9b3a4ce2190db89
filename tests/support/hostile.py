"""Wrong and hostile input for every place where thaw reads: made by Hypothesis."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from thaw.config.strict import parse_yaml


class Wrong(NamedTuple):
    """An input."""

    content: Any
    surely: bool
    """Whether it must be refused; else it may be fine, but nothing bad may come of it."""


NAN, INF = float("nan"), float("inf")
HUGE = 10**30

SUITE = """\
name: tiny
transfers: [{source: catch, target: catch@large_ball}]
conditions: [random, scratch, freeze_head]
update_rules: {mine: "embedding=source:frozen,head=source:trained"}
seeds: 1
pretrain_steps: 40
transfer_steps: 40
environment: {num_envs: 2, downsample: 16}
agent: {embedding: impala_shallow, unroll_length: 5, lstm_size: 8, fc_size: 8}
evaluation: {episodes: 2}
report: {num_bins: 4}
"""

PROOF = """\
from pathlib import Path
Path("PROOF").write_text("executed")
def make(*arguments, **named):
    raise RuntimeError("called")
"""
"""A module that leaves a proof of its import in the working folder."""

NOT_A_COUNT: Sequence[Any] = (
    -1, 0, NAN, INF, -INF, 1.5, "word", "", [], {}, [1], {"a": 1}, None, True, "2",
)  # fmt: skip

NOT_A_SIZE: Sequence[Any] = (*NOT_A_COUNT, 10**12, HUGE)

NOT_A_COST: Sequence[Any] = (-1, NAN, -INF, INF, "word", [], {}, None, True, [0.1])

CODE = ("proof:make", "subprocess:Popen", "os:system", "builtins:exec")

HOSTILE_FLAVORS: Sequence[Any] = (
    "gym/proof:Proof-v0", "gym/boom:Boom-v0", "gym/../../x", "catch@nothing", "catch?", "catch?a",
    "catch?ball_radius=nan", "catch?ball_radius=.inf", "catch?ball_radius=-1",
    "catch?ball_radius=1e400", "catch?downsample=0", "catch?downsample=[1]", "catch?a=1&a=2",
    "nothing/x", "/", "", "..", "../catch", "catch/../x", "atari/../x@m0d0", "atari/pong@m99d99",
    "androidenv/../x.textproto", "androidenv/catch?adb_path=./adb", "catch\n@x", "\x1b[31mcatch",
    "catch" * 2000, 7, None, [], {"family": "catch"},
)  # fmt: skip

SUITE_FIELDS: Mapping[str, Sequence[Any]] = {
    "name": ("", "../x", "a/b", "a\nb", "\x1b[31m", ".." * 3000 + "/", 7, None, []),
    "transfers": (None, [], {}, "catch", [None], [[]], 7),
    "transfers.0.source": HOSTILE_FLAVORS,
    "transfers.0.target": HOSTILE_FLAVORS,
    "transfers.0.unknown": (1,),
    "conditions": (None, [], ["nothing"], ["scratch", "scratch"], [7], "scratch", ["../x"]),
    "update_rules": (None, [], "mine", {"../x": "scratch"}, {"mine": "embedding=x"}, {"": "x"}),
    "update_rules.mine": ("", "head=source:trained", "embedding=source:frozen,head=..:trained", 7),
    "seeds": (-1, 0, NAN, "word", [], [1, 1], [-1], [1.5], 2_000_000_000, HUGE, [HUGE], {}, None),
    "pretrain_steps": NOT_A_COUNT,
    "transfer_steps": NOT_A_COUNT,
    "environment": (None, [], "word", 7),
    "environment.num_envs": (*NOT_A_COUNT, 10**8, HUGE),
    "environment.downsample": (0, -1, NAN, INF, "word", [], {}, HUGE, None),
    "environment.touch_noise": (NAN, INF, -1, "word", []),
    "environment.unknown": (1,),
    "environment.seed": (1,),
    "environment.drawn_on": ("cpu",),
    "environment.adb_path": ("./adb",),
    "agent": (None, [], "word", 7),
    "agent.embedding": ("impala_deeep", "", 7, None, [], "no_module:f", *CODE),
    "agent.unroll_length": NOT_A_COUNT,
    "agent.lstm_size": NOT_A_SIZE,
    "agent.fc_size": NOT_A_SIZE,
    "agent.embedding_size": NOT_A_SIZE,
    "agent.env_groups": (*NOT_A_COUNT, 3, HUGE),
    "agent.actors": NOT_A_COUNT,
    "agent.learning_rate": NOT_A_COST,
    "agent.rmsprop_epsilon": NOT_A_COST,
    "agent.entropy_cost": NOT_A_COST,
    "agent.discount": (-1, 2, NAN, INF, "word", []),
    "agent.clock": ("", "word", 7, None, []),
    "agent.precision": ("", "float8", 7, None),
    "agent.unknown": (1,),
    "evaluation.episodes": NOT_A_COUNT,
    "evaluation.actions": ("", "word", 7, None),
    "evaluation.source": ("word", 7, [], None),
    "report.num_bins": NOT_A_COUNT,
    "report.normalize": ("", "word", 7),
    "unknown": (1, None, []),
}
"""Values by dotted key that a suite may not have."""


def changed(plain: Any, path: str, value: object) -> Any:
    """Return a copy of nested dicts and lists with one value replaced or added."""
    result = copy.deepcopy(plain)
    node = result
    *parents, last = path.split(".")
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    node[last] = value
    return result


def wrong_fields(plain: Any, fields: Mapping[str, Sequence[Any]]) -> st.SearchStrategy[Any]:
    """Replace a value by one that is not allowed there."""
    choices = [(path, value) for path, values in fields.items() for value in values]
    return st.sampled_from(choices).map(lambda choice: changed(plain, *choice))


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from([HUGE, -HUGE, 2**63, 1e308, 5e-324, "../../x", "=1+1", "\x1b[2J", "[/x]"]),
)  # fmt: skip

trees = st.recursive(
    scalars,
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3)
    ),
    max_leaves=6,
)

suites = st.one_of(
    wrong_fields(parse_yaml(SUITE), SUITE_FIELDS).map(lambda plain: Wrong(plain, surely=True)),
    st.tuples(st.sampled_from(sorted(SUITE_FIELDS)), trees).map(
        lambda choice: Wrong(changed(parse_yaml(SUITE), *choice), surely=False)
    ),
)
"""Suites as plain data with one wrong value, or with an arbitrary one."""


def laughs(levels: int) -> str:
    """A mapping of few lines that would be enormous if its aliases were copied."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        names = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} [{names}]")
    return "\n".join(lines) + f"\nname: *a{levels - 1}\n"


YAML_VALUES = (
    "? [a, b]\n: c", "? {a: b}\n: c", "{[a]: b}", "{{a: b}: c}", "&a [*a]", "&a {b: *a}",
    "*nothing", "!!python/object/apply:os.system ['touch PROOF']", "!!python/name:os.system",
    "!!python/module:proof", "!!python/object/new:proof.make []", "!proof x", "!!binary aGFsbG8=",
    "!!set {a, b}", "!!omap [a: 1]", "!!timestamp 2001-01-01", "2001-01-01", "!!float word",
    "!!int word", "<<: [1]", "{<<: {a: 1}}", "{<<: x}", "190:20:30", "0o17", "0b2",
    "0x" + "f" * 300, "9" * 5000, "1e999999", "-.inf", ".NaN", "~", "'", '"', "|", ">", "@x",
    "`x`", "%x", "\t- x", "[1, 2", "{a: 1, a: 2}", "--- a\n--- b", "...", "\x00", "\ufeff",
    "\x07", "\u2028", "[" * 3000, "[" * 20_000, "[" * 3000 + "]" * 3000,
    "{a: " * 3000 + "1" + "}" * 3000, "- " * 20_000 + "x", "'" + "x" * 1_000_000 + "'",
)  # fmt: skip
"""YAML that is unusual or none."""

raw_yaml = st.one_of(
    st.sampled_from(YAML_VALUES),
    st.sampled_from(YAML_VALUES).map(lambda value: SUITE + value),
    st.tuples(st.sampled_from(SUITE.splitlines()), st.sampled_from(YAML_VALUES)).map(
        lambda pair: SUITE.replace(pair[0], pair[0].partition(":")[0] + ": " + pair[1])
    ),
    st.integers(3, 12).map(lambda levels: SUITE.replace("name: tiny", laughs(levels).strip())),
    st.text(max_size=60),
    st.text(alphabet="{}[]&*!|>'\"%@`:,-?# \nab", max_size=60).map(lambda text: SUITE + text),
).map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=60)
"""The bytes of a suite's file."""

json_texts = st.one_of(
    trees.map(json.dumps),
    st.sampled_from(
        ["", "{", "[]", "null", "7", '"x"', "[" * 20_000, "[" * 20_000 + "]" * 20_000,
         '{"a": ' * 5000 + "1" + "}" * 5000, "9" * 5000, "{}", "\x00", '{"agent": {}}']
    ),
)  # fmt: skip
"""JSON, or nearly."""

NOT_A_SHAPE: Sequence[Any] = (
    [], None, 7, "sh", ["sh", "-c", "touch PROOF"], [0], [-1, 2, 3], [NAN], [1e9], [HUGE],
    [10**6, 10**6, 3], [1] * 9, [True, 20, 3], {}, [[30, 20, 3]],
)  # fmt: skip

DESCRIPTION_FIELDS: Mapping[str, Sequence[Any]] = {
    "observation_shape": NOT_A_SHAPE,
    "num_actions": (*NOT_A_SIZE, 53),
    "agent": (None, [], "word", {}, 7),
    "agent.embedding": ("impala_deep", "mlp", "nothing", "", 7, None, [], *CODE),
    "agent.embedding_size": (*NOT_A_SIZE, 255),
    "agent.lstm_size": (*NOT_A_SIZE, 9),
    "agent.fc_size": (*NOT_A_SIZE, 9),
    "agent.learning_rate": NOT_A_COST,
    "agent.unroll_length": NOT_A_COUNT,
    "agent.unknown": (1,),
    "unknown": (1,),
}
"""Values that the description in a policy's file may not have."""
