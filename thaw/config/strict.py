"""Strict structs from and to YAML and plain data, with errors of one line."""

from __future__ import annotations

import functools
import re
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin

import msgspec
import yaml

from thaw.config.errors import InputError, UnknownKey, nearest

MAX_INT = 2**63 - 1
"""What fits into the 64 bits that PyTorch, NumPy and CSV readers use."""
MAX_FLOAT = 1e30
"""Far above any sensible setting, and finite: infinity is written as null where it makes sense."""

Natural = Annotated[int, msgspec.Meta(ge=0, le=MAX_INT)]

Positive = Annotated[int, msgspec.Meta(ge=1, le=MAX_INT)]

MAX_SIZE = 65_536
"""The most that a file may give as the size of one axis or layer, as a number of actions or steps
of an unroll: far above any sensible setting, and it fits into a memory."""

Size = Annotated[int, msgspec.Meta(ge=1, le=MAX_SIZE)]

PositiveFloat = Annotated[float, msgspec.Meta(gt=0, le=MAX_FLOAT)]

NonNegativeFloat = Annotated[float, msgspec.Meta(ge=0, le=MAX_FLOAT)]

Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A strict struct: unknown keys and wrong types are errors, never ignored."""

    later: ClassVar[tuple[str, ...]] = ()
    """Fields that are left out of files and hashes at their default: an earlier thaw did not have
    them, and what it wrote must stay what it is."""


Scalar = bool | int | float | str | None

T = TypeVar("T")


_NO_WORDS = {
    "int": "a number (decimals have a point, not a comma)",
    "float": "a number (decimals have a point, not a comma)",
    "bool": "true or false",
    "null": "null",
    "timestamp": "a date",
}
"""What YAML can take a bare key for. ``{learning_rate: 6,0e-4}`` has a second key, ``0e-4``."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1, but ``6e-4`` is a number (PyYAML alone reads it as a word) and keys are unique."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is no word or is there twice; PyYAML alone keeps the last value."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    problem="a key must be a word", problem_mark=key.start_mark
                )
            if (kind := key.tag.rpartition(":")[2]) in _NO_WORDS:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key '{key.value[:40]}' is {_NO_WORDS[kind]}, but keys are words",
                    problem_mark=key.start_mark,
                )
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
    """Parse YAML without duplicate keys and without Python tags.

    Raises:
        InputError: Not YAML; the message names the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise InputError(f"not valid YAML: {line}{error.problem}") from None
    except RecursionError:
        raise InputError("not valid YAML: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # a date or a number that cannot be one
        raise InputError("not valid YAML: " + " ".join(str(error).split())) from None


def parse_value(text: str) -> Any:
    """Parse a command-line value as YAML, except that ``#FF0000`` is a color, not a comment.

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
    if isinstance(value, str):
        return str(value)
    raise NotImplementedError(f"{type(value)} has no plain form")


def _decode(kind: type, value: object) -> object:
    """Make a checked word (a flavor, an update rule); its class parses the text."""
    if issubclass(kind, str):
        if not isinstance(value, str):
            raise InputError(f"expected a word, got {value!r}")
        return kind(value)
    raise NotImplementedError(f"{kind} has no plain form")


def to_plain(config: object) -> Any:
    """Turn a config into dicts, lists and scalars."""
    plain = msgspec.to_builtins(config, enc_hook=_encode)
    _leave_out(config, plain)
    return plain


def _leave_out(config: object, plain: Any) -> None:
    """Take a struct's later fields out of its plain form where they are at their default."""
    if not isinstance(config, Config):
        return
    defaults = _defaults_of_later(type(config))
    for name in config.__struct_fields__:
        value = getattr(config, name)
        if name in defaults and value == defaults[name]:
            del plain[name]
        else:
            _leave_out(value, plain[name])


@functools.cache
def _defaults_of_later(kind: type[Config]) -> dict[str, Any]:
    """Return the defaults of a struct's later fields; reading a struct's fields takes long."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    return {
        name: fields[name].default_factory()
        if fields[name].default is msgspec.NODEFAULT
        else fields[name].default
        for name in kind.later
    }


def from_plain(plain: object, kind: type[T], where: str) -> T:
    """Make a struct of dicts, lists and scalars.

    Args:
        plain: Parsed YAML or JSON.
        kind: The class of the struct.
        where: Names the input in errors, as ``suite.yaml``.

    Raises:
        InputError: Unknown key (the message names the nearest one), or wrong type or value.
    """
    try:
        return msgspec.convert(plain, kind, dec_hook=_decode)
    except msgspec.ValidationError as error:
        message = f"{where}: {_explain(str(error), kind, plain)}"
        if unknown := re.match(_UNKNOWN_KEY, str(error)):
            raise UnknownKey(message, unknown[1]) from None
        raise InputError(message) from None


def to_yaml(config: object) -> str:
    """Write a config as YAML that :func:`from_plain` reads back."""
    return yaml.safe_dump(to_plain(config), sort_keys=False, width=100, default_flow_style=None)


def override(plain: dict[str, Any], item: str) -> None:
    """Set one ``dotted.key=value`` (a YAML value) in nested dicts.

    Raises:
        InputError: The item has another form, or a parent is not a dict.
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


_UNKNOWN_KEY = r"Object contains unknown field `(.*?)`"
"""What msgspec says."""

_PLAIN_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a word",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
}


def _explain(message: str, kind: object, plain: object) -> str:
    """Translate msgspec's message: first the dotted path, then the problem, then a hint."""
    message, _, path = message.partition(" - at `")
    if path.startswith("key` in `"):
        path, message = path.removeprefix("key` in `"), "a key is no word; all keys must be words"
    path = path.rstrip("`").removeprefix("$").lstrip(".").replace("[...]", "")
    node: object = kind
    for step in re.sub(r"\[[^\]]*\]", "", path).split("."):
        node = _field_type(node, step) if step else node
    if unknown := re.fullmatch(_UNKNOWN_KEY, message):
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
        found = _value_at(plain, path)
        if isinstance(found, int | float):
            message += f" (it is {found})"
    return f"{path}: {message}" if path else message


def _value_at(plain: object, path: str) -> object:
    """Return the value at a dotted path; None where the path leads through a list or nowhere."""
    for step in path.split("."):
        plain = plain.get(step) if isinstance(plain, dict) else None
    return plain


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
