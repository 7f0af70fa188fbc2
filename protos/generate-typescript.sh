#!/bin/sh
# Generates the TypeScript messages and services. Without openai.proto: that is the HTTP surface, not one for stubs.
# Usage: generate-typescript.sh TOOLS_VENV OUT, from the root of the repository, after `make clients` installed the plugin.
set -eu
rm -rf "$2"
template=$(printf '{"version":"v2","plugins":[{"local":"%s","out":"%s","opt":["target=ts","import_extension=js"]}]}' \
  clients/typescript/node_modules/.bin/protoc-gen-es "$2")
"$1/bin/buf" generate protos --template "$template" --path protos/isthmus --exclude-path protos/isthmus/v1/openai.proto
