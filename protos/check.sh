#!/bin/sh
# Fails when the contract breaks its rules or its callers, or when committed generated code is not what it generates.
# Usage: check.sh TOOLS_VENV, from the root of the repository. Changes nothing.
set -eu
buf=$1/bin/buf
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

"$buf" format protos --path protos/isthmus --diff --exit-code
"$buf" lint protos
"$buf" breaking protos --against protos/baseline.binpb

protos/generate.sh "$1" "$fresh/python" "$fresh/isthmus.binpb"
diff -r --exclude=__pycache__ "$fresh/python/isthmus/v1" clients/python/isthmus/v1
cmp "$fresh/isthmus.binpb" server/isthmusd/edge/isthmus.binpb

if [ -f clients/typescript/node_modules/.ready ]; then
  protos/generate-typescript.sh "$1" "$fresh/typescript"
  diff -r "$fresh/typescript" clients/typescript/src/gen
fi

# grpc-gateway is a second reader of the HTTP bindings. Its Debian package is old and strict: what it accepts is portable.
if command -v protoc-gen-grpc-gateway >/dev/null; then
  mkdir "$fresh/go"
  "$1/bin/python" -m grpc_tools.protoc -I protos --plugin=protoc-gen-grpc-gateway="$(command -v protoc-gen-grpc-gateway)" \
    --grpc-gateway_out=allow_delete_body=true:"$fresh/go" isthmus/v1/openai.proto
else
  echo "protos: protoc-gen-grpc-gateway is not installed, its check is left out" >&2
fi
