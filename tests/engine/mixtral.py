"""Writes a Mixtral of a few megabytes: the architecture and the tokenizer of Mixtral 8x22B Instruct, random weights.

What it says is noise; what stands around it is real: the 32,768 pieces of the tokenizer that `mistral-common` ships,
its control tokens, the v3 instruct template, eight experts of which two answer. Same seed, same file, same text.

Random weights never call a tool. With `calls` two rows of the output are not random: after a user's turn ("[/INST]")
the likeliest token is then "[TOOL_CALLS]", and " [" after that, as in a model that always wants its tool first; what
follows is written under the engine's own grammar. After a tool's result the next token is random as ever.

Runs as a child process in the engine's environment: `python mixtral.py FILE [calls]`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gguf
import mistral_common
import numpy
from sentencepiece import SentencePieceProcessor

__all__ = ["write_model"]

SEED = 8_22
LAYERS, WIDTH, FEED_FORWARD, HEADS, HEADS_OF_KEYS = 2, 64, 128, 4, 2
EXPERTS, EXPERTS_USED = 8, 2  # as the real one
CONTEXT = 65_536  # what the real one was trained for; the server gives a request less
TOKENIZER = "mistral_instruct_tokenizer_240323.model.v3"
# Mistral's v3 instruct format, in Jinja as llama.cpp takes it: the system text stands in the last user turn, the tools
# before it (docs.mistral.ai, tokenization v3; mistral-common). Left out is the `id` of earlier calls: llama.cpp makes
# its grammar from the template, and an id, as free text, would never end in a model that talks at random.
TEMPLATE = """{{- bos_token }}
{%- set system = namespace(text='') %}
{%- set last = namespace(user=-1) %}
{%- for message in messages %}
  {%- if message.role == 'system' %}{% set system.text = message.content + '\\n\\n' %}{% endif %}
  {%- if message.role == 'user' %}{% set last.user = loop.index0 %}{% endif %}
{%- endfor %}
{%- for message in messages %}
  {%- if message.role == 'user' %}
    {%- if loop.index0 == last.user %}
      {%- if tools %}{{- '[AVAILABLE_TOOLS] ' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}{% endif %}
      {{- '[INST] ' + system.text + message.content + '[/INST]' }}
    {%- else %}
      {{- '[INST] ' + message.content + '[/INST]' }}
    {%- endif %}
  {%- elif message.role == 'assistant' and message.tool_calls %}
    {{- '[TOOL_CALLS] [' }}
    {%- for call in message.tool_calls %}
      {{- '{"name": "' + call.function.name + '", "arguments": ' + (call.function.arguments | tojson) + '}' }}
      {%- if not loop.last %}{{- ', ' }}{% endif %}
    {%- endfor %}
    {{- ']' + eos_token }}
  {%- elif message.role == 'assistant' %}
    {{- ' ' + message.content + eos_token }}
  {%- elif message.role == 'tool' %}
    {{- '[TOOL_RESULTS] {"content": ' + (message.content | tojson) }}
    {{- ', "call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
  {%- endif %}
{%- endfor %}"""


def write_model(path: Path, *, calls: bool = False) -> None:
    """Write the model to `path`. The file appears whole or not at all."""
    unfinished = path.with_suffix(".unfinished")
    writer = gguf.GGUFWriter(str(unfinished), "llama")
    writer.add_name("Mixtral 8x22B Instruct, random weights")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS_OF_KEYS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_expert_count(EXPERTS)
    writer.add_expert_used_count(EXPERTS_USED)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    pieces = _add_tokenizer(writer)
    _add_weights(writer, pieces, calls)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.replace(path)


def _add_tokenizer(writer: gguf.GGUFWriter) -> Any:
    pieces: Any = SentencePieceProcessor(model_file=str(Path(mistral_common.__file__).parent / "data" / TOKENIZER))
    kinds = gguf.TokenType
    tokens, scores, types = [], [], []
    for number in range(pieces.vocab_size()):
        text = pieces.id_to_piece(number)
        kind = kinds.NORMAL
        if pieces.is_unknown(number):
            kind = kinds.UNKNOWN
        elif pieces.is_control(number):
            kind = kinds.CONTROL
        elif pieces.is_byte(number):
            kind = kinds.BYTE
        tokens.append(text.encode())
        scores.append(pieces.get_score(number))
        types.append(kind)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(pieces.bos_id())
    writer.add_eos_token_id(pieces.eos_id())
    writer.add_unk_token_id(pieces.unk_id())
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(TEMPLATE)
    return pieces


def _add_weights(writer: gguf.GGUFWriter, pieces: Any, calls: bool) -> None:
    random = numpy.random.default_rng(SEED)
    keys = WIDTH // HEADS * HEADS_OF_KEYS

    def made(*shape: int) -> Any:
        return random.normal(0.0, shape[-1] ** -0.5, shape) if len(shape) > 1 else numpy.ones(shape)

    def add(name: str, *shape: int, values: Any = None) -> None:
        values = made(*shape) if values is None else values
        writer.add_tensor(name, values.astype(numpy.float16 if len(shape) > 1 else numpy.float32))

    vocabulary = (pieces.vocab_size(), WIDTH)
    inwards, outwards = made(*vocabulary), made(*vocabulary)
    if calls:
        for before, after in (("[/INST]", "[TOOL_CALLS]"), ("[TOOL_CALLS]", "\N{LOWER ONE EIGHTH BLOCK}[")):
            outwards[pieces.piece_to_id(after)] = inwards[pieces.piece_to_id(before)]
        inwards *= 32.0  # longer than what the blocks add, so that it still shows at the end
    add("token_embd.weight", *vocabulary, values=inwards)
    add("output_norm.weight", WIDTH)
    add("output.weight", *vocabulary, values=outwards)
    for number in range(LAYERS):
        block = f"blk.{number}"
        add(f"{block}.attn_norm.weight", WIDTH)
        add(f"{block}.ffn_norm.weight", WIDTH)
        add(f"{block}.attn_q.weight", WIDTH, WIDTH)
        add(f"{block}.attn_k.weight", keys, WIDTH)
        add(f"{block}.attn_v.weight", keys, WIDTH)
        add(f"{block}.attn_output.weight", WIDTH, WIDTH)
        add(f"{block}.ffn_gate_inp.weight", EXPERTS, WIDTH)
        add(f"{block}.ffn_gate_exps.weight", EXPERTS, FEED_FORWARD, WIDTH)
        add(f"{block}.ffn_up_exps.weight", EXPERTS, FEED_FORWARD, WIDTH)
        add(f"{block}.ffn_down_exps.weight", EXPERTS, WIDTH, FEED_FORWARD)


if __name__ == "__main__":
    write_model(Path(sys.argv[1]), calls="calls" in sys.argv[2:])
