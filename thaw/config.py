"""Everything that decides a result, as frozen data that reads and writes YAML strictly.

Nothing here imports torch or an environment. What does *not* decide a result (device, workers,
folders, how often to save) is :class:`Runtime`, a tree of its own that is never hashed.
Numbers marked (IMPALA, table G.1) come from Espeholt et al. 2018, arXiv 1802.01561.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

import msgspec
import yaml

RESULTS_VERSION = 1
"""Part of every run's hash; raised when a change of thaw's code moves results."""

Scalar = bool | int | float | str | None
Natural = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
PositiveFloat = Annotated[float, msgspec.Meta(gt=0)]
NonNegativeFloat = Annotated[float, msgspec.Meta(ge=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class InputError(ValueError):
    """The user's input was wrong: one line that says what, what is allowed and how to fix it."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest allowed word, or a full stop."""
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f"; did you mean '{close[0]}'?" if close else "."


# --------------------------------------------------------------------------------------- words


class Flavor(str):
    """One variant of an environment, written ``family/name@variant?option=value&...``.

    ``catch`` is family and name at once; no ``@`` means the family's default variant. Options
    after ``?`` belong to this flavor alone and win over the suite's ``environment`` section.
    The text is kept in canonical form, so equal flavors are equal words.
    """

    family: str
    name: str
    variant: str
    options: tuple[tuple[str, Scalar], ...]

    def __new__(cls, address: str) -> Self:
        """Parse an address.

        Raises:
            InputError: The address is not of the form above.
        """
        match = re.fullmatch(
            r"(?P<family>[\w.-]+)(?:/(?P<name>[^@?\s]+))?(?:@(?P<variant>[^@?\s]+))?"
            r"(?:\?(?P<options>\S+))?",
            address,
        )
        if match is None:
            raise InputError(
                f"flavor '{address}' is not of the form family/name@variant, as in "
                "'catch@large_ball' or 'catch?ball_radius=20'"
            )
        options = []
        for pair in (match["options"] or "").split("&"):
            key, equals, value = pair.partition("=")
            if equals:
                options.append((key, parse_scalar(value)))
            elif pair:
                raise InputError(f"option '{pair}' of flavor '{address}' is not KEY=VALUE")
        _no_repeats(f"options of flavor '{address}'", [key for key, _ in options])
        family, name = match["family"], match["name"] or match["family"]
        variant = match["variant"] or "default"
        text = family if name == family else f"{family}/{name}"
        if variant != "default":
            text += f"@{variant}"
        if options:
            options.sort()
            text += "?" + "&".join(f"{key}={dump_scalar(value)}" for key, value in options)
        flavor = super().__new__(cls, text)
        flavor.family, flavor.name, flavor.variant = family, name, variant
        flavor.options = tuple(options)
        return flavor


@dataclass(frozen=True)
class PartRule:
    """What happens to one part of the policy: where its weights come from, whether it trains."""

    weights: Literal["source", "random"]
    trains: bool

    def __str__(self) -> str:
        return f"{self.weights}:{'trained' if self.trains else 'frozen'}"


class UpdateRule(str):
    """A :class:`PartRule` for each part, keyed by dotted prefix; the longest match wins.

    Written ``embedding=source:frozen,head=source:trained``; ``embedding`` and ``head`` must be
    there, finer prefixes (``head.lstm=random:trained``) may be. A name of :data:`NAMED_RULES`
    (the four formulations of Dean, Toyama, Precup 2022, section 3.3, and scratch) stands for its
    rule.
    """

    parts: dict[str, PartRule]

    def __new__(cls, text: str) -> Self:
        """Parse a name or a rule.

        Raises:
            InputError: Neither a known name nor a well-formed rule.
        """
        text = NAMED_RULES.get(text, text)
        if "=" not in text:
            raise InputError(
                f"unknown update rule '{text}'{nearest(text, NAMED_RULES)} Known: "
                f"{', '.join(NAMED_RULES)}, or one of your own like "
                "'embedding=source:frozen,head=source:trained'"
            )
        parts: dict[str, PartRule] = {}
        for item in text.replace(" ", "").split(","):
            match = re.fullmatch(r"([\w.]+)=(source|random):(trained|frozen)", item)
            if match is None or match[1] in parts:
                raise InputError(
                    f"'{item}' in update rule '{text}' is not PART=source|random:trained|frozen "
                    "with each part named once"
                )
            weights: Literal["source", "random"] = "source" if match[2] == "source" else "random"
            parts[match[1]] = PartRule(weights, match[3] == "trained")
        missing = [part for part in ("embedding", "head") if part not in parts]
        unknown = [part for part in parts if part.split(".")[0] not in ("embedding", "head")]
        if missing or unknown:
            raise InputError(
                f"update rule '{text}' must name the parts embedding and head (finer parts begin "
                f"with them): {'missing ' + missing[0] if missing else 'unknown ' + unknown[0]}"
            )
        rule = super().__new__(cls, ",".join(f"{key}={parts[key]}" for key in sorted(parts)))
        rule.parts = {key: parts[key] for key in sorted(parts)}
        return rule

    def of(self, parameter_name: str) -> PartRule:
        """Return the rule of a parameter or buffer, by the longest matching dotted prefix."""
        matching = [
            (len(prefix), part)
            for prefix, part in self.parts.items()
            if parameter_name == prefix or parameter_name.startswith(prefix + ".")
        ]
        return max(matching, key=lambda match: match[0])[1]

    @property
    def trains(self) -> bool:
        """Whether anything at all trains."""
        return any(part.trains for part in self.parts.values())

    @property
    def needs_source(self) -> bool:
        """Whether any weights come from a pretrained policy."""
        return any(part.weights == "source" for part in self.parts.values())


NAMED_RULES: Mapping[str, str] = {
    "scratch": "embedding=random:trained,head=random:trained",
    "update_all": "embedding=source:trained,head=source:trained",
    "freeze_embedding": "embedding=source:frozen,head=source:trained",
    "freeze_head": "embedding=source:trained,head=source:frozen",
    "freeze_all": "embedding=source:frozen,head=source:frozen",
}
CONDITIONS = ("random", *NAMED_RULES)
"""The six conditions of the paper, in the order of its tables."""


# ------------------------------------------------------------------------------------ the trees


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A strict node: unknown keys and wrong types are errors, never ignored."""


class AgentConfig(Config, frozen=True, kw_only=True):
    """The agent: network, loss and optimizer. Defaults: IMPALA, table G.1, unless noted."""

    embedding: str = "impala_deep"
    """Built-in name (impala_deep, impala_shallow; mlp for vectors) or ``module:function``."""
    embedding_size: Positive = 256
    """Width of the embedding's output (Dean et al., section 3.2)."""
    lstm_size: Positive = 256
    """Reproduces the published 1.6 M parameters (docs/reproducing.md, point 7)."""
    fc_size: Positive = 256
    """Width of the added fully connected layer behind the LSTM (point 6)."""
    last_action_input: bool = True
    """Feed the one-hot last action to the head (point 8)."""
    last_reward_input: bool = True
    """Feed the last reward, clipped to [-1, 1], to the head (point 8)."""

    clock: Literal["lockstep", "overlapped"] = "lockstep"
    """lockstep: collect, then learn (policy lag 0). overlapped: both at once (lag exactly 1)."""
    unroll_length: Positive = 20
    """Steps of one unroll; an update learns from ``num_envs`` unrolls."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the embedding; weights, head and losses stay float32."""

    discount: Fraction = 0.99
    baseline_cost: NonNegativeFloat = 0.5
    entropy_cost: NonNegativeFloat = 0.01
    reward_clip: PositiveFloat | None = 1.0
    """Rewards are clipped to [-reward_clip, reward_clip] for the loss; reports stay raw."""
    truncation: Literal["terminate", "bootstrap"] = "terminate"
    """Value behind a truncated step: 0 as in IMPALA's code (point 34), or the policy's own."""
    rho_bar: PositiveFloat | None = 1.0
    """Clip of the importance weights in the targets (IMPALA, eq. 1); null = no clip."""
    c_bar: PositiveFloat | None = 1.0
    """Clip of the trace coefficients (IMPALA, eq. 1); null = no clip."""
    pg_rho_bar: PositiveFloat | None = 1.0
    """Clip of the importance weights in the policy gradient; null = no clip."""
    lambda_: Fraction = 1.0
    """Multiplies the trace coefficients (IMPALA, remark 2)."""

    learning_rate: PositiveFloat = 6e-4
    learning_rate_schedule: Literal["linear", "constant"] = "linear"
    """linear: to 0 over this run's own steps, also after a transfer (point 3)."""
    rmsprop_decay: Fraction = 0.99
    """Not in table G.1; the IMPALA code's default (point 16)."""
    rmsprop_epsilon: PositiveFloat = 0.01
    """PyTorch's form, outside the root (point 17)."""
    rmsprop_momentum: NonNegativeFloat = 0.0
    max_gradient_norm: PositiveFloat = 40.0
    """Over what trains; frozen parts do not count (field lesson: they must not move the clip)."""


class EvaluationConfig(Config, frozen=True, kw_only=True):
    """How a finished policy is scored."""

    episodes: Positive = 100
    """Episodes of every evaluation, and the window of the training score (Machado et al. 2018)."""
    actions: Literal["sampled", "greedy"] = "sampled"
    source: bool = True
    """Also score each transfer's final policy back on its source flavor (Dean et al., sec. 4)."""
    score: Literal["training", "evaluation"] = "training"
    """What a trained run's mean_return is: its last training episodes, or a separate evaluation
    of the final policy (docs/reproducing.md, point 21). Both are always stored."""


class ReportConfig(Config, frozen=True, kw_only=True):
    """What the report shows; changes no run."""

    normalize: Literal["none", "scratch"] = "none"
    """scratch: divide by training from scratch, as the paper's table 1 does."""
    paper: Literal["table1", "table2"] | None = None
    """Which table of the paper this suite repeats; its numbers then stand beside ours."""
    num_bins: Positive = 100
    """Points of a learning curve."""


class Transfer(Config, frozen=True, kw_only=True):
    """One move: a policy pretrained in ``source`` meets ``target``."""

    source: Flavor
    target: Flavor


class Suite(Config, frozen=True, kw_only=True):
    """Transfers x conditions x seeds x budgets: everything that one report needs."""

    name: str
    transfers: Annotated[tuple[Transfer, ...], msgspec.Meta(min_length=1)]
    conditions: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = CONDITIONS
    update_rules: dict[str, UpdateRule] = {}
    """Conditions of your own, by name."""
    seeds: Positive | Annotated[tuple[Natural, ...], msgspec.Meta(min_length=1)] = 5
    """A count or a list; transfer seed i starts from pretraining seed i (point 20)."""
    pretrain_steps: Positive
    """Agent decisions in the source flavor."""
    transfer_steps: Positive
    """Agent decisions of every transfer and of scratch."""
    environment: dict[str, Scalar] = {}
    """``num_envs`` and the options of the environments' family."""
    agent: AgentConfig = AgentConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    report: ReportConfig = ReportConfig()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+", self.name):
            raise InputError(f"name '{self.name}' may hold letters, digits and . _ - only")
        taken = sorted(set(self.update_rules) & {*CONDITIONS, "pretrain"})
        if taken:
            raise InputError(f"update rule '{taken[0]}' is a built-in name; choose another")
        for rule_name in self.update_rules:
            if not re.fullmatch(r"\w[\w.-]*", rule_name):
                raise InputError(f"update rule '{rule_name}' must be a plain word")
        allowed = [*CONDITIONS, *self.update_rules]
        for condition in self.conditions:
            if condition not in allowed:
                raise InputError(
                    f"unknown condition '{condition}'{nearest(condition, allowed)} "
                    f"Allowed: {', '.join(allowed)}"
                )
        _no_repeats("conditions", self.conditions)
        _no_repeats("seeds", self.seed_list)
        _no_repeats("transfers", [f"{t.source} -> {t.target}" for t in self.transfers])
        num_envs_of(self.environment)

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds, spelt out."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    def rule(self, condition: str) -> UpdateRule | None:
        """Return the update rule of a condition; None for the uniform random policy."""
        if condition == "random":
            return None
        return self.update_rules.get(condition) or UpdateRule(condition)


DEFAULT_NUM_ENVS = 32
"""Unrolls of one batch (IMPALA, table G.1)."""


def num_envs_of(environment: Mapping[str, object]) -> int:
    """Return how many environments an ``environment`` section steps together.

    Raises:
        InputError: Not a whole number of at least 1.
    """
    num_envs = environment.get("num_envs", DEFAULT_NUM_ENVS)
    if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
        raise InputError(f"num_envs is {num_envs!r}; it must be a whole number >= 1")
    return num_envs


class RunSpec(Config, frozen=True, kw_only=True):
    """Everything that decides one run's result; its hash names the result."""

    condition: str
    """``pretrain``, or one of the suite's conditions."""
    flavor: Flavor
    """Where the run acts and learns."""
    source: Flavor | None = None
    """Where its weights were pretrained; None without pretraining."""
    source_hash: str | None = None
    """Hash of the pretraining's own spec, so that another pretraining is another run."""
    update_rule: UpdateRule | None
    """None: the uniform random policy."""
    seed: Natural
    steps: Natural
    """Agent decisions to learn from; 0 when nothing trains."""
    environment: dict[str, Scalar] = {}
    agent: AgentConfig = AgentConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    results_version: int = RESULTS_VERSION

    def __post_init__(self) -> None:
        num_envs_of(self.environment)

    @property
    def num_envs(self) -> int:
        """Environments stepped together; also the unrolls of one batch."""
        return num_envs_of(self.environment)

    @property
    def environment_options(self) -> dict[str, Any]:
        """The environment section without ``num_envs``."""
        return {key: value for key, value in self.environment.items() if key != "num_envs"}

    @property
    def content_hash(self) -> str:
        """Sixteen hex digits over all fields."""
        text = msgspec.json.encode(to_plain(self), order="deterministic")
        return hashlib.sha256(text).hexdigest()[:16]

    def derived_seed(self, purpose: str) -> int:
        """Return a 63-bit seed for one purpose, independent between conditions and flavors."""
        text = f"{self.seed}|{self.condition}|{self.source}|{self.flavor}|{purpose}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class Runtime(Config, frozen=True, kw_only=True):
    """What does not decide a result and is not hashed."""

    device: str = "cpu"
    num_threads: Positive = 1
    checkpoint_seconds: NonNegativeFloat = 60.0
    """A kill costs at most this much work."""


# --------------------------------------------------------------------------- reading and writing

T = TypeVar("T")


class _Loader(yaml.SafeLoader):
    """YAML 1.1, but ``6e-4`` is a number (PyYAML alone reads it as a word) and keys are unique."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is there twice, of which PyYAML alone would keep the last."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key '{key.value}' is there twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def parse_yaml(text: str) -> Any:
    """Parse YAML; a duplicate-free, tag-free subset.

    Raises:
        InputError: Not YAML; the message names the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise InputError(f"not valid YAML: {line}{error.problem}") from None
    except yaml.YAMLError as error:
        raise InputError("not valid YAML: " + " ".join(str(error).split())) from None


def parse_value(text: str) -> Any:
    """Parse a command-line value as YAML, but ``#FF0000`` is a color and not a comment.

    Raises:
        InputError: Not YAML.
    """
    return text if text.startswith("#") else parse_yaml(text)


def parse_scalar(text: str) -> Scalar:
    """Parse a command-line or address value as YAML does: numbers, true, null, else a word."""
    value = parse_value(text)
    return value if isinstance(value, bool | int | float | str | None) else text


def dump_scalar(value: Scalar) -> str:
    """Write a scalar so that :func:`parse_scalar` gives it back."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)


def _encode(value: object) -> object:
    if isinstance(value, Flavor | UpdateRule):
        return str(value)
    raise NotImplementedError(f"{type(value)} has no plain form")


def _decode(kind: type, value: object) -> object:
    if kind in (Flavor, UpdateRule):
        if not isinstance(value, str):
            raise InputError(f"expected a word, got {value!r}")
        return kind(value)
    raise NotImplementedError(f"{kind} has no plain form")


def to_plain(config: object) -> Any:
    """Turn a config into dicts, lists and scalars."""
    return msgspec.to_builtins(config, enc_hook=_encode)


def from_plain(plain: object, kind: type[T], where: str) -> T:
    """Structure dicts, lists and scalars strictly.

    Args:
        plain: What YAML or JSON gave.
        kind: The config class.
        where: Names the input in errors, as ``suite.yaml``.

    Raises:
        InputError: Unknown key (with the nearest right one), wrong type or value.
    """
    try:
        return msgspec.convert(plain, kind, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {_explain(str(error), kind)}") from None


def to_yaml(config: object) -> str:
    """Write a config as YAML that :func:`from_plain` reads back."""
    return yaml.safe_dump(to_plain(config), sort_keys=False, width=100, default_flow_style=None)


def load_suite(source: str | Path, overrides: Iterable[str] = ()) -> Suite:
    """Load a suite.

    Args:
        source: A built-in name, a YAML file, or ``module:function`` that returns a Suite.
        overrides: ``dotted.key=value`` items that win over the suite.

    Raises:
        InputError: Unknown suite, or anything wrong inside it.
    """
    from thaw import suites

    text = str(source)
    if text in suites.BUILT_IN:
        plain = to_plain(suites.BUILT_IN[text]())
    elif text.endswith((".yaml", ".yml")) or Path(text).is_file():
        try:
            plain = parse_yaml(Path(text).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise InputError(f"suite file '{text}' cannot be read: {reason}") from None
        except InputError as error:
            raise InputError(f"{text}: {error}") from None
        if not isinstance(plain, dict):
            raise InputError(f"{text}: a suite file is a mapping (name: ..., transfers: ...)")
    elif ":" in text:
        suite = call_by_name(text)
        if not isinstance(suite, Suite):
            raise InputError(f"'{text}' returned {type(suite).__name__}, not a thaw Suite")
        plain = to_plain(suite)
    else:
        raise InputError(
            f"unknown suite '{text}'{nearest(text, suites.BUILT_IN)} Built in: "
            f"{', '.join(suites.BUILT_IN)}; or a .yaml file, or module:function"
        )
    for item in overrides:
        override(plain, item)
    return from_plain(plain, Suite, text)


def call_by_name(address: str, *arguments: object) -> object:
    """Call ``module:function``.

    Raises:
        InputError: There is no such module or function, or it fails.
    """
    import importlib
    import traceback

    module_name, _, function_name = address.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except Exception as error:  # importing runs the user's code, which may raise anything
        raise InputError(f"'{address}' is not module:function: {error}") from error
    try:
        return function(*arguments)
    except InputError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise InputError(
            f"'{address}' failed: {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno})"
        ) from error


def override(plain: dict[str, Any], item: str) -> None:
    """Set one ``dotted.key=value`` (a YAML value) in nested dicts.

    Raises:
        InputError: Not of that form, or a parent that is no dict.
    """
    path, equals, value = item.partition("=")
    if not equals or "" in path.split("."):
        raise InputError(f"--set {item}: expected KEY=VALUE, as in agent.discount=0.9")
    *parents, last = path.split(".")
    node = plain
    for parent in parents:
        child = node.setdefault(parent, {})
        if not isinstance(child, dict):
            raise InputError(f"--set {item}: '{parent}' has no keys below it")
        node = child
    try:
        node[last] = parse_value(value)
    except InputError as error:
        raise InputError(f"--set {item}: {error}") from None


def _no_repeats(what: str, items: Iterable[object]) -> None:
    seen: set[object] = set()
    for item in items:
        if item in seen:
            raise InputError(f"{what}: '{item}' is there twice; name each once")
        seen.add(item)


_PLAIN_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a word",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
}


def _explain(message: str, kind: object) -> str:
    """Turn msgspec's message into ours: the dotted path first, the nearest word last."""
    message, _, path = message.partition(" - at `")
    path = path.rstrip("`").removeprefix("$").lstrip(".").replace("[...]", "")
    node: object = kind
    for step in re.sub(r"\[[^\]]*\]", "", path).split("."):
        node = _field_type(node, step) if step else node
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", message):
        struct = _first_struct(node)
        fields = struct.__struct_fields__ if struct else ()
        hint = f"{nearest(unknown[1], fields)} Allowed: {', '.join(fields)}"
        message = f"unknown key '{unknown[1]}'{hint}"
    elif missing := re.fullmatch(r"Object missing required field `(.*)`", message):
        message = f"the key '{missing[1]}' is missing"
    elif invalid := re.fullmatch(r"Invalid enum value '(.*)'", message):
        words = [str(word) for word in _literal_words(node)]
        message = f"unknown word '{invalid[1]}'{nearest(invalid[1], words)} Allowed: "
        message += ", ".join(words)
    elif message.startswith("Expected `"):
        message = "e" + message[1:]
        message = re.sub(
            r"`([^`]*)`",
            lambda kinds: " or ".join(_PLAIN_WORDS.get(k, k) for k in kinds[1].split(" | ")),
            message,
        ).replace("got a number", "got a number with a point or an exponent")
    return f"{path}: {message}" if path else message


def _field_type(node: object, field: str) -> object:
    """Return the type of a field of the Struct that ``node`` is or holds; None without one."""
    struct = _first_struct(node)
    fields = msgspec.structs.fields(struct) if struct else ()
    return next((f.type for f in fields if f.name == field), None)


def _first_struct(kind: object) -> type[msgspec.Struct] | None:
    """Return a Struct class, also from inside a tuple or a union."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return next((found for k in get_args(kind) if (found := _first_struct(k))), None)


def _literal_words(kind: object) -> tuple[object, ...]:
    """Return the words of a Literal, also from inside a union."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(word for k in get_args(kind) for word in _literal_words(k))
