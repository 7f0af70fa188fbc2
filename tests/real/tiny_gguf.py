"""Writes a llama model of half a megabyte with random weights and a vocabulary of bytes: enough for a real llama.cpp
server to load, chat and embed. What it says is nonsense, and the same nonsense each time.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

WIDTH = 64
FEED_FORWARD = 128
LAYERS = 2
HEADS = 4
CONTEXT = 4096
SPREAD = 0.08
"""Standard deviation of the weights: small enough that no logit runs away."""
SPECIAL = ("<|begin|>", "<|im_start|>", "<|im_end|>")
PAIRS = ("t h", "th e", "i n", "e r", "a n", "an d")
"""Merges of the vocabulary; a tokenizer without any is refused."""
CHAT_TEMPLATE = (
    "{%- for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

Tensor = npt.NDArray[np.float32]


def write_model(path: Path, seed: int = 0) -> Path:
    """Write the model to `path` and give it back."""
    writer = gguf.GGUFWriter(str(path), "llama")
    _add_shape(writer)
    _add_vocabulary(writer)
    _add_weights(writer, np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def vocabulary() -> list[str]:
    """Every byte, then what the merges make, then the special tokens."""
    return [*_bytes_as_text(), *(pair.replace(" ", "") for pair in PAIRS), *SPECIAL]


def _bytes_as_text() -> list[str]:
    """GPT-2's alphabet: printable bytes stand for themselves, the others for characters from 256 on.

    https://github.com/openai/gpt-2/blob/master/src/encoder.py
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = (byte for byte in range(256) if byte not in printable)
    stand_in = {byte: chr(256 + position) for position, byte in enumerate(others)}
    return [stand_in.get(byte, chr(byte)) for byte in range(256)]


def _add_shape(writer: gguf.GGUFWriter) -> None:
    writer.add_name("tiny-random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(vocabulary()))


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    tokens = vocabulary()
    first_special = len(tokens) - len(SPECIAL)
    plain, control = int(gguf.TokenType.NORMAL), int(gguf.TokenType.CONTROL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([plain] * first_special + [control] * len(SPECIAL))
    writer.add_token_merges(list(PAIRS))
    writer.add_bos_token_id(first_special)
    writer.add_eos_token_id(first_special + 2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _add_weights(writer: gguf.GGUFWriter, rng: np.random.Generator) -> None:
    def random(*shape: int) -> Tensor:
        return (rng.standard_normal(shape) * SPREAD).astype(np.float32)

    def ones() -> Tensor:
        return np.ones(WIDTH, np.float32)

    writer.add_tensor("token_embd.weight", random(len(vocabulary()), WIDTH))
    writer.add_tensor("output_norm.weight", ones())
    writer.add_tensor("output.weight", random(len(vocabulary()), WIDTH))
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        writer.add_tensor(f"{block}attn_norm.weight", ones())
        writer.add_tensor(f"{block}ffn_norm.weight", ones())
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"{block}{part}.weight", random(WIDTH, WIDTH))
        writer.add_tensor(f"{block}ffn_gate.weight", random(FEED_FORWARD, WIDTH))
        writer.add_tensor(f"{block}ffn_up.weight", random(FEED_FORWARD, WIDTH))
        writer.add_tensor(f"{block}ffn_down.weight", random(WIDTH, FEED_FORWARD))
