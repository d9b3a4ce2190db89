"""Reads a .wandb file: wandb's own records in the log format of LevelDB.

After a header of 7 bytes, the format is that of
https://github.com/google/leveldb/blob/main/doc/log_format.md; checksums are not compared.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK_BYTES = 32 * 1024
HEADER_BYTES = 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(path: Path) -> Iterator[Record]:
    """Yield the records of a file up to its end, or up to where it was cut off."""
    data = path.read_bytes()
    if not data.startswith(b":W&B"):
        return
    place, parts = HEADER_BYTES, b""
    while place + HEADER_BYTES <= len(data):
        left = BLOCK_BYTES - place % BLOCK_BYTES
        if left < HEADER_BYTES:  # filled with zeros
            place += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, place)
        place += HEADER_BYTES
        if kind not in (FULL, FIRST, MIDDLE, LAST) or place + size > len(data):
            return
        parts += data[place : place + size]
        place += size
        if kind in (FULL, LAST):
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def is_whole(path: Path) -> bool:
    """Whether a run's file has its last record, which says how the run ended."""
    return any(record.HasField("exit") for record in records(path))


def history(path: Path) -> list[dict[str, Any]]:
    """Return the rows that were logged."""
    rows = []
    for record in records(path):
        if record.HasField("history"):
            items = record.history.item
            rows.append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items})
    return rows
