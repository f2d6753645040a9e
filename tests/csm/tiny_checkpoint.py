"""A tiny CSM checkpoint with random weights, in the layout of the hub's ``sesame/csm-1b``.

Everything that loading depends on is as in the released one: the file names (weights in shards
that ``transformers_weights`` names, beside a ``model.safetensors`` in another format that must not
be loaded), the tokenizer's special tokens and chat template, llama3 RoPE scaling with the released
factors, 32 codebooks of 2,051 ids, 2,048 positions, a Mimi codec of 1,920 samples a frame. Only the
widths, the layer counts and the text vocabulary are small.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CsmConfig,
    CsmDepthDecoderConfig,
    CsmForConditionalGeneration,
    CsmProcessor,
    EncodecFeatureExtractor,
    MimiConfig,
    PreTrainedTokenizerFast,
)

#: Llama 3.2's, with the two that CSM renamed.
SPECIAL_TOKENS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|AUDIO|>",
    "<|audio_eos|>",
    "<|finetune_right_pad_id|>",
    "<|reserved_special_token_2|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
)
#: Words and marks for the tokenizer's merges, so that ordinary text is more than bytes.
CORPUS = (
    "It was the best of times, it was the worst of times; it was the age of wisdom.",
    "Call me Ishmael. Some years ago, never mind how long precisely, I thought I would sail.",
    "[0]There was no possibility of taking a walk that day. [1]The cold winter wind rose.",
)
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- bos_token }}{{- '[' + message['role'] + ']' }}"
    "{{- message['content'][0]['text'] }}{{- eos_token }}"
    "{%- if message['content'] | length > 1 %}{{- '<|AUDIO|><|audio_eos|>' }}{%- endif %}"
    "{%- endfor %}"
)
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def make(folder: Path, seed: int = 0, *, ends: bool = True) -> Path:
    """Write a tiny checkpoint and return its folder.

    Args:
        folder: where; made if it is not there.
        seed: of the random weights.
        ends: whether the model ends a segment by itself now and then (an all-zero frame about once
            in 25). Otherwise its weights are random throughout, and it runs to the cap.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    model = _model(tokenizer, seed)
    if ends:
        _teach_to_end(model)
    # Alike, as in the released checkpoint; not every version of transformers ties them itself.
    audio = model.backbone_model.embed_tokens.embed_audio_tokens.weight
    model.depth_decoder.model.embed_tokens.weight.data.copy_(audio.data)
    model.save_pretrained(folder, max_shard_size="12MB")
    CsmProcessor(
        feature_extractor=EncodecFeatureExtractor(feature_size=1, sampling_rate=24_000),
        tokenizer=tokenizer,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _rename_weights(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE(ignore_merges=True))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=400,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    backend.add_special_tokens(list(SPECIAL_TOKENS))
    begin, end = SPECIAL_TOKENS[:2]
    backend.post_processor = processors.TemplateProcessing(
        single=f"{begin}:0 $A:0 {end}:0",
        special_tokens=[(name, backend.token_to_id(name)) for name in (begin, end)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=begin, eos_token=end, pad_token=end
    )


def _model(tokenizer: PreTrainedTokenizerFast, seed: int) -> CsmForConditionalGeneration:
    codec = MimiConfig(
        hidden_size=32,
        num_filters=4,
        codebook_dim=16,
        vector_quantization_hidden_dimension=16,
        upsample_groups=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=32,
    )
    depth = CsmDepthDecoderConfig(
        backbone_hidden_size=64,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500_000.0,
            "factor": 32.0,
            "low_freq_factor": 0.001953125,
            "high_freq_factor": 0.0078125,
            "original_max_position_embeddings": 16,
        },
    )
    audio, audio_eos = tokenizer.convert_tokens_to_ids(["<|AUDIO|>", "<|audio_eos|>"])
    config = CsmConfig(
        text_vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=audio,
        audio_token_id=audio,
        audio_eos_token_id=audio_eos,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500_000.0,
            "factor": 32.0,
            "low_freq_factor": 0.125,
            "high_freq_factor": 0.5,
            "original_max_position_embeddings": 1024,
        },
        depth_decoder_config=depth,
        codec_config=codec,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CsmForConditionalGeneration(config).eval()
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            # The codec's code books and the text embedding start as zeros or ones, which would
            # make all codes and words alike; the rest starts too small to tell codes apart.
            if name.endswith("embed_sum"):
                tensor.data.normal_(std=0.02)
            elif "embed" in name and tensor.is_floating_point() and tensor.ndim == 2:
                tensor.data.normal_(std=0.25 if "text" in name else 0.05)
            elif name.startswith("codec_model") and tensor.ndim == 3 and tensor.shape[0] == 1:
                # The last convolution, to one channel: brought down to the loudness of speech.
                tensor.data.mul_(0.1)
            elif name.startswith("codec_model") and tensor.shape == (1,):
                tensor.data.zero_()
    generation = model.generation_config
    generation.update(max_new_tokens=125, do_sample=True, top_k=50, temperature=0.9)
    model.depth_decoder.generation_config.update(do_sample=True, top_k=50, temperature=0.9)
    return model


@torch.no_grad()
def _teach_to_end(model: CsmForConditionalGeneration) -> None:
    """Give code 0 of codebook 0 fair odds throughout, and make it draw 0 for all others."""
    config, depth = model.config, model.depth_decoder
    # A direction that every input holds, so that every hidden state does, about half its length.
    always = torch.zeros(config.hidden_size)
    always[0] = 2.0
    audio = model.backbone_model.embed_tokens.embed_audio_tokens.weight
    model.embed_text_tokens.weight += always
    audio += always / config.num_codebooks
    # A little above the 49 codes that it is drawn against.
    model.lm_head.weight[:, 0] = 0.0
    model.lm_head.weight[0] = 0.0
    model.lm_head.weight[0, 0] = 0.2
    # A direction that says "the code before this one is 0"; each depth head answers it with a 0.
    mark = torch.zeros(config.hidden_size)
    mark[1] = 8.0
    audio[torch.arange(config.num_codebooks) * config.vocab_size] = (
        mark + always / config.num_codebooks
    )
    answer = depth.model.inputs_embeds_projector(mark)
    depth.codebooks_head.weight[:, :, 0] = 1.2 * answer / answer.norm()


def _rename_weights(folder: Path) -> None:
    index_file = folder / "model.safetensors.index.json"
    index = json.loads(index_file.read_text())
    for shard in set(index["weight_map"].values()):
        (folder / shard).rename(folder / shard.replace("model-", "transformers-"))
    index["weight_map"] = {
        tensor: shard.replace("model-", "transformers-")
        for tensor, shard in index["weight_map"].items()
    }
    index_file.unlink()
    (folder / "transformers.safetensors.index.json").write_text(json.dumps(index, indent=2))
    config_file = folder / "config.json"
    config = json.loads(config_file.read_text())
    config["transformers_weights"] = "transformers.safetensors.index.json"
    # As transformers 4.52 wrote them.
    for part in (config, config["depth_decoder_config"]):
        part["rope_scaling"] = part.pop("rope_parameters")
        part["rope_theta"] = part["rope_scaling"].pop("rope_theta")
    config_file.write_text(json.dumps(config, indent=2))
    # The released repository also holds the original's weights, under other names.
    save_file({"backbone.norm.scale": torch.ones(4)}, folder / "model.safetensors")
