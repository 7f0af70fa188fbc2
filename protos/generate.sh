#!/bin/sh
# Generates what is committed from the contract: Python stubs and Envoy's descriptor. Not for TypeScript: that needs node.
# Usage: generate.sh TOOLS_VENV PYTHON_OUT DESCRIPTOR_OUT
set -eu
bin=$(cd "$1/bin" && pwd)
mkdir -p "$2"
python_out=$(cd "$2" && pwd)
mkdir -p "$(dirname "$3")"
descriptor=$(cd "$(dirname "$3")" && pwd)/$(basename "$3")
cd "$(dirname "$0")"

rm -rf "$python_out/isthmus/v1"
mkdir -p "$python_out/isthmus/v1"
# The old generator is on purpose: its code loads on newer grpcio and protobuf, never the reverse.
"$bin/python" -m grpc_tools.protoc -I . \
  --plugin=protoc-gen-mypy_grpc="$bin/protoc-gen-mypy_grpc" \
  --python_out="$python_out" --pyi_out="$python_out" \
  --grpc_python_out="$python_out" --mypy_grpc_out=quiet:"$python_out" \
  isthmus/v1/*.proto
# protoc writes service stubs for files without services too.
for stub in "$python_out"/isthmus/v1/*_pb2_grpc.py; do
  name=$(basename "$stub" _pb2_grpc.py)
  grep -q '^service ' "isthmus/v1/$name.proto" || rm -f "$stub" "${stub}i"
done
printf '"""Generated from protos/isthmus/v1 by `make protos`. Not for editing."""\n' >"$python_out/isthmus/v1/__init__.py"

# Everything in this folder, so that Envoy can print the error details of google/rpc/error_details.proto.
"$bin/buf" build . -o "$descriptor" --as-file-descriptor-set --exclude-source-info
