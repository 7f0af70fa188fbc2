"""Serves a model with llama.cpp's own HTTP server: `python -m tests.real.llama_server MODEL chat|embed`. It prints the
address, and ends when its standard input does. A process of its own: the server's threads do not stop on request.
"""

from __future__ import annotations

import sys

import xllamacpp

CONTEXT = 1024


def serve(model: str, purpose: str) -> xllamacpp.Server:
    """Start the server on a free port; it answers as soon as this returns."""
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx = CONTEXT
    params.n_parallel = 1
    params.hostname = "127.0.0.1"
    params.port = 0
    params.model_alias = "tiny"
    if purpose == "embed":
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return xllamacpp.Server(params)


def main() -> None:
    server = serve(sys.argv[1], sys.argv[2])
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
