"""The golden vectors of `spec/vectors`, through the native conversions."""

from __future__ import annotations

import builtins
import json
import math
import struct
from typing import Any

import ml_dtypes
import numpy as np
import procall
import pytest
from conftest import VECTORS
from procall._codes import CODES
from procall._native import codec


def load(name: str) -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads((VECTORS / name).read_text())
    return vectors


def named(vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def long_text(text: Any) -> str:
    if isinstance(text, str):
        return text
    return "".join(part if isinstance(part, str) else part[0] * part[1] for part in text)


def unhex(text: Any) -> bytes:
    return bytes.fromhex(long_text(text))


def value_of(typed: dict[str, Any]) -> Any:
    ((kind, content),) = typed.items()
    match kind:
        case "nil":
            return None
        case "bool" | "text":
            return content
        case "int":
            return int(content)
        case "float":
            return struct.unpack(">d", bytes.fromhex(content))[0]
        case "text_repeat":
            return content[0] * content[1]
        case "bytes":
            return bytes.fromhex(content)
        case "bytes_repeat":
            return bytes.fromhex(content[0]) * content[1]
        case "array":
            return [value_of(each) for each in content]
        case "array_repeat":
            return [value_of(content[0])] * content[1]
        case "nested":
            value = value_of(content[0])
            for _ in range(content[1]):
                value = [value]
            return value
        case "map":
            return {key: value_of(each) for key, each in content}
        case "tensor":
            return array_of(content, bytes.fromhex(content["packed"]))
    raise AssertionError(kind)


def array_of(buffer: dict[str, Any], packed: bytes) -> Any:
    own = ml_dtypes.bfloat16 if buffer["dtype"] == "bfloat16" else buffer["dtype"]
    dtype = np.dtype(own).newbyteorder("<")
    return np.frombuffer(packed, dtype).reshape([int(dim) for dim in buffer["shape"]])


def is_elsewhere(buffer: dict[str, Any]) -> bool:
    """Regions need shared memory; without it they are refused, never guessed."""
    return "region" in buffer["place"]


def is_packed(buffer: dict[str, Any]) -> bool:
    """Arrays are sent in C order and little-endian, whatever they arrived in."""
    return buffer["strides"] is None and not buffer["big_endian"]


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack(">d", a) == struct.pack(">d", b) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return bool(a == b)


@pytest.mark.parametrize("vector", named(load("bodies.json")))
def test_bodies(vector: dict[str, Any]) -> None:
    tensor = vector["value"].get("tensor")
    if tensor is not None and is_elsewhere(tensor):
        with pytest.raises(procall.InvalidArgument):
            codec.decode(unhex(vector["hex"]))
        return
    expected = value_of(vector["value"])
    decoded = codec.decode(unhex(vector["hex"]))
    assert same(decoded, expected)
    if vector.get("canonical", True) and (tensor is None or is_packed(tensor)):
        assert codec.encode(decoded) == unhex(vector["hex"])
    if vector["json"] is not None:
        assert same(codec.decode_json(long_text(vector["json"]).encode()), expected)


@pytest.mark.parametrize("vector", named(load("bodies_bad.json")))
def test_bad_bodies(vector: dict[str, Any]) -> None:
    decode = codec.decode if "hex" in vector else codec.decode_json
    if "json" in vector:
        data = long_text(vector["json"]).encode()
    else:
        data = unhex(vector.get("hex", vector.get("json_hex")))
    with pytest.raises(procall.InvalidArgument):
        decode(data)


@pytest.mark.parametrize("vector", named(load("buffers.json")))
def test_buffers(vector: dict[str, Any]) -> None:
    payload = unhex(vector["payload"])
    wrapped = b"\xc9" + len(payload).to_bytes(4, "big") + b"P" + payload
    if "error" in vector or is_elsewhere(vector["buffer"]):
        with pytest.raises(procall.InvalidArgument):
            codec.decode(wrapped)
        return
    assert same(codec.decode(wrapped), array_of(vector["buffer"], unhex(vector["packed"])))
    if is_packed(vector["buffer"]):
        assert codec.encode(codec.decode(wrapped)) == unhex(vector["msgpack"])


def test_every_code_has_its_exception() -> None:
    assert list(procall._errors.CLASSES) == list(CODES)
    for name, info in CODES.items():
        error = procall._errors.CLASSES[name]
        assert error is getattr(procall, info.class_name)
        assert error.__name__ == info.class_name
        assert error.__doc__ == info.sentence
        assert (error.code, error.executed, error.retryable) == (
            name,
            info.executed,
            info.retryable,
        )
        assert issubclass(error, procall.Error)
        if info.base is not None:
            assert issubclass(error, getattr(builtins, info.base))
