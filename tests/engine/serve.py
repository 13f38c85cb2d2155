"""Runs llama.cpp's HTTP server, as `xllamacpp` ships it, until its standard input ends.

A child process in the engine's environment: `python serve.py MODEL [--embeddings] [--grammar GRAMMAR]`. Prints one line
of JSON when it serves: its address. What the engine logs goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys

import xllamacpp

__all__ = ["serve"]

NAME = "open-mixtral-8x22b"
SLOTS, CONTEXT_OF_SLOT = 4, 1024  # requests at once, and tokens of each: small, so that a test can exceed them


def serve(model: str, *, embeddings: bool, grammar: str) -> None:
    settings = xllamacpp.CommonParams()
    settings.model.path = model
    settings.model_alias = [NAME]
    settings.hostnames = ["127.0.0.1"]
    settings.port = 0
    settings.n_ctx = SLOTS * CONTEXT_OF_SLOT
    settings.n_parallel = SLOTS
    settings.cpuparams.n_threads = 1
    settings.use_jinja = True
    settings.warmup = False
    settings.endpoint_slots = settings.endpoint_metrics = True
    settings.embedding = embeddings
    if embeddings:
        settings.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    if grammar:
        kind = xllamacpp.common_grammar_type.COMMON_GRAMMAR_TYPE_USER
        settings.sampling.grammar = xllamacpp.CommonGrammar(kind, grammar)
    server = xllamacpp.Server(settings)
    print(json.dumps({"url": server.listening_address}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--embeddings", action="store_true")
    parser.add_argument("--grammar", default="")
    given = parser.parse_args()
    serve(given.model, embeddings=given.embeddings, grammar=given.grammar)
