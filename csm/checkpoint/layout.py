"""What the hub's layout of a CSM checkpoint holds: each weight's name and shape."""

from __future__ import annotations

from typing import Any

#: Where the codec's weights are in the files; how they go on is Mimi's business.
CODEC_PREFIX = "codec_model."
#: The audio embedding, which backbone and depth decoder share. The released files hold it twice;
#: files that a later transformers saved hold one of the two.
AUDIO_EMBEDDING = "backbone_model.embed_tokens.embed_audio_tokens.weight"
DEPTH_EMBEDDING = "depth_decoder.model.embed_tokens.weight"

Shape = tuple[int, ...]


def expected_shapes(config: Any) -> dict[str, Shape]:
    """Every weight but the codec's, by its name on the hub.

    Args:
        config: transformers' ``CsmConfig``.

    Returns:
        From names to shapes; matrices are ``(out, in)``.
    """
    depth = config.depth_decoder_config
    hidden, inner = config.hidden_size, depth.hidden_size
    return {
        "embed_text_tokens.weight": (config.text_vocab_size, hidden),
        AUDIO_EMBEDDING: (config.num_codebooks * config.vocab_size, hidden),
        **_llama("backbone_model.", config),
        "lm_head.weight": (config.vocab_size, hidden),
        DEPTH_EMBEDDING: (depth.num_codebooks * depth.vocab_size, depth.backbone_hidden_size),
        "depth_decoder.model.inputs_embeds_projector.weight": (inner, depth.backbone_hidden_size),
        **_llama("depth_decoder.model.", depth),
        "depth_decoder.codebooks_head.weight": (depth.num_codebooks - 1, inner, depth.vocab_size),
    }


def _llama(prefix: str, config: Any) -> dict[str, Shape]:
    hidden, wide = config.hidden_size, config.intermediate_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    layer = {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (wide, hidden),
        "mlp.up_proj": (wide, hidden),
        "mlp.down_proj": (hidden, wide),
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
    }
    return {
        **{
            f"{prefix}layers.{number}.{name}.weight": shape
            for number in range(config.num_hidden_layers)
            for name, shape in layer.items()
        },
        f"{prefix}norm.weight": (hidden,),
    }
