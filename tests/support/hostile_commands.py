"""Wrong command lines and CSV files: made by Hypothesis."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from hostile import HOSTILE_FLAVORS, Wrong, scalars
from hypothesis import strategies as st

LONG = "x" * 5000
MANY = "9" * 23

NOT_A_COUNT = ("0", "-1", "1.5", "nan", "inf", "word", "", "1e9", "\x1b[2J")
NOT_A_SEED = ("-1", "1.5", "nan", "word", "", MANY, str(2**64))
NOT_A_FOLDER = ("nothing", "tiny.yaml", "", "../nothing", LONG, "\n", "tiny.yaml/x", "/dev/null")
NOT_AN_OUT = ("tiny.yaml", "tiny.yaml/x", "/proc/x", "/dev/null", LONG, "/dev/null/x")
NOT_A_FLAVOR = tuple(
    flavor for flavor in HOSTILE_FLAVORS if isinstance(flavor, str) and "proof:" not in flavor
)
NOT_A_DEVICE = ("tpu", "", "cuda:99", "meta", "CPU\n")
NOT_A_SUITE = ("nothing", "nothing.yaml", "", "nothing:make", "boom:make", ":", LONG, "out", "\n")
NOT_A_SUITE_VALUE = (
    "a", "=", "=1", "unknown=1", "seeds=" + MANY, "seeds=2000000000", "seeds=[1,1]", "agent=1",
    "agent.learning_rate=.inf", "agent.learning_rate=.nan", "agent.lstm_size=1000000000000",
    "environment.num_envs=100000000", "agent..x=1", "name=../x", "agent.discount={a: [", "name=",
    "transfers=[{source: catch, target: gym/../../x}]", "agent.discount=!!python/name:os.system",
    "seeds=" + "[" * 3000, "agent.embedding=boom:make", "environment.downsample=0",
)  # fmt: skip
NOT_A_RUN_VALUE = (
    "a", "=", "unknown=1", "agent.learning_rate=.inf", "agent.unroll_length=0", "agent.x=1",
    "environment.num_envs=100000000", "environment.num_envs=-1", "environment.downsample=0",
    "agent.lstm_size=1000000000000",
)  # fmt: skip
NOT_AN_OPTION = (
    "a",
    "=",
    "unknown=1",
    "num_envs=0",
    "num_envs=100000000",
    "downsample=0",
    "seed=1",
)

Arguments = list[str]

COMMANDS: Mapping[str, tuple[Arguments, Mapping[str, Sequence[str]]]] = {
    "run": (
        ["tiny.yaml"],
        {"": NOT_A_SUITE, "--out": NOT_AN_OUT, "--workers": NOT_A_COUNT, "--device": NOT_A_DEVICE,
         "--seeds": (*NOT_A_COUNT, MANY, "2000000000"), "--set": NOT_A_SUITE_VALUE,
         "--executor": ("", "cloud")},
    ),
    "plan": (
        ["tiny.yaml"],
        {"": NOT_A_SUITE, "--workers": NOT_A_COUNT, "--set": NOT_A_SUITE_VALUE,
         "--seeds": (*NOT_A_COUNT, MANY, "2000000000")},
    ),
    "status": (["out"], {"": NOT_A_FOLDER}),
    "watch": (["out"], {"": NOT_A_FOLDER}),
    "report": (["out"], {"": NOT_A_FOLDER, "--scores": ("nothing.csv", "tiny.yaml", "", LONG)}),
    "train": (
        ["catch"],
        {"": NOT_A_FLAVOR, "--out": NOT_AN_OUT, "--steps": NOT_A_COUNT, "--seed": NOT_A_SEED,
         "--threads": NOT_A_COUNT, "--device": NOT_A_DEVICE, "--set": NOT_A_RUN_VALUE},
    ),
    "transfer": (
        ["nothing", "catch", "--rule", "update_all"],
        {"": NOT_A_FOLDER, "--rule": ("", "word", "embedding=x", LONG), "--seed": NOT_A_SEED},
    ),
    "evaluate": (
        ["random", "catch"],
        {"": NOT_A_FOLDER, "--episodes": NOT_A_COUNT, "--seed": NOT_A_SEED,
         "--device": NOT_A_DEVICE, "--set": NOT_AN_OPTION},
    ),
    "record": (
        ["random", "catch"],
        {"": NOT_A_FOLDER, "--out": ("film.txt", "", "tiny.yaml", "/proc/x.mp4"),
         "--episodes": NOT_A_COUNT, "--seed": NOT_A_SEED},
    ),
    "flavors": (["catch*"], {"": ("zzz*", LONG)}),
    "gallery": (
        ["tiny.yaml"],
        {"": NOT_A_SUITE, "--out": ("flavors.txt", "", "tiny.yaml", "/proc/x.png"),
         "--steps": ("-1", "nan", "word"), "--set": NOT_A_SUITE_VALUE},
    ),
}  # fmt: skip
"""By command: its words, and values that its flags ("" for the first word) may not have."""

NEEDED: Mapping[str, Arguments] = {
    "run": ["--out", "new"],
    "train": ["--out", "new", "--steps", "40"],
    "transfer": ["--out", "new", "--steps", "40"],
    "record": ["--out", "new.mp4"],
    "gallery": ["--out", "new.png"],
}

unknown_flags = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]), min_size=3, max_size=12
).map(lambda text: "--x" + text)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command line with one thing wrong: it must be refused, and nothing written."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    words, wrong = COMMANDS[name]
    flag = draw(st.sampled_from([*wrong, "unknown flag"]))
    if flag == "unknown flag":
        return [name, *words, *NEEDED.get(name, []), draw(unknown_flags)]
    value = draw(st.sampled_from(wrong[flag]))
    needed = NEEDED.get(name, [])
    if flag == "":
        return [name, value, *words[1:], *needed]
    kept = [w for i, w in enumerate(needed) if flag not in (w, needed[i - 1] if i else "")]
    return [name, *words, *kept, f"{flag}={value}"]


# ------------------------------------------------------------------------------------------- CSV

SCORES = ("source", "target", "condition", "seed", "mean_return")
CURVES = (*SCORES, "steps")

NOT_A_NUMBER = (
    "nan", "inf", "-inf", "1e308", "-1e308", "1e400", "word", "", " ", "1,5", "0x1", "=1"
)  # fmt: skip
NOT_AN_INTEGER = ("-1", "1.5", "1e20", "1e30", "nan", "inf", "word", "", "2147483648" * 3)

ODD_NAMES = (
    "=cmd|' /C calc'!A0", "@SUM(1)", "+1", "<script>alert(1)</script>",
    "\"><img src=x onerror=1>", "a\nb", "\\input{x}", "$x$ & % # _", "../../x", "\x1b[31m", "名前",
    "x" * 2000, "[/x]", "NA", "1e5", "`x` | y",
)  # fmt: skip


def rows(columns: Sequence[str], **named: str) -> list[dict[str, str]]:
    """Four good rows of two seeds; ``named`` are put into the first."""
    good = {"source": "catch", "target": "catch@a", "steps": "10"}
    found = [
        good | {"condition": condition, "seed": str(seed), "mean_return": f"{seed}.5"}
        for condition in ("scratch", "update_all")
        for seed in (0, 1)
    ]
    found[0] |= named
    return [{column: row[column] for column in columns} for row in found]


def as_csv(columns: Sequence[str], table: Sequence[Mapping[str, str]]) -> bytes:
    """Write rows as CSV."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, columns)
    writer.writeheader()
    writer.writerows(table)
    return file.getvalue().encode()


def csv_files(columns: Sequence[str]) -> st.SearchStrategy[Wrong]:
    """The bytes of a CSV file with one thing wrong, or with odd names."""
    good = as_csv(columns, rows(columns))
    header, first = good.splitlines(keepends=True)[:2]
    numbers = st.sampled_from(NOT_A_NUMBER).map(lambda word: {"mean_return": word})
    integers = st.sampled_from(NOT_AN_INTEGER).map(lambda word: {"seed": word})
    wrong_values = st.one_of(numbers, integers).map(
        lambda value: as_csv(columns, rows(columns, **value))
    )
    empty = [header] if columns == SCORES else []  # no curves are no error
    wrong_shapes = st.sampled_from(
        [
            *empty, b"", b"\n", b"\x00" * 9, good + b"\x00\n", good + b"\xff\n", good + first,
            header + first.strip() + b",1\n", good.replace(b"mean_return", b"seed"),
            header.strip() + b",mean_return\n" + first.strip() + b",7\n", first, b"a,b\n1,2\n",
            good.replace(b"mean_return", b"return"), header + first[:-9] + b"\n", b'"' + good,
            b",".join([header.strip()] * 2) + b"\n" + b",".join([first.strip()] * 2),
        ]
    )  # fmt: skip
    names = st.tuples(
        st.sampled_from(["source", "target", "condition"]),
        st.sampled_from(ODD_NAMES) | st.text(max_size=12),
    ).map(lambda pair: as_csv(columns, rows(columns, **{pair[0]: pair[1]})))
    arbitrary: st.SearchStrategy[Any] = st.tuples(st.sampled_from(columns), scalars).map(
        lambda pair: as_csv(columns, rows(columns, **{pair[0]: str(pair[1])}))
    )
    return st.one_of(
        st.one_of(wrong_values, wrong_shapes).map(lambda data: Wrong(data, surely=True)),
        st.one_of(names, arbitrary, st.binary(max_size=80)).map(
            lambda data: Wrong(data, surely=False)
        ),
    )
