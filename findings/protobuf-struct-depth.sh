#!/usr/bin/env bash
# protobuf writes a Struct of 35 nested objects that it then refuses to read: a level of JSON costs three messages.
set -eu
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3.11 -m venv venv
venv/bin/pip install -q protobuf==7.36.2
timeout 60 venv/bin/python - <<'EOF'
import google.protobuf
from google.protobuf.internal import api_implementation
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct

print(f"protobuf {google.protobuf.__version__}, {api_implementation.Type()}")


def survives(value: dict) -> bool:
    """Write a value, and say whether the same library reads it back."""
    raw = ParseDict(value, Struct()).SerializeToString()
    try:
        return MessageToDict(Struct.FromString(raw)) == value
    except DecodeError as error:
        print(f"  {len(raw)} bytes: {error}")
        return False


def objects(levels: int) -> dict:
    value: dict = {}
    for _ in range(levels - 1):
        value = {"properties": value}
    return value


most = max(levels for levels in range(25, 40) if survives(objects(levels)))
print(f"up to {most} objects within each other are read back: a level is a Struct, an entry of its map and a Value")
assert most == 34, "the behaviour has changed"
EOF
