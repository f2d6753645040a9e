"""Loading from folders and from a hub on loopback, whole and damaged."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CsmConfig, CsmForConditionalGeneration

import csm
from csm import CsmError, load_checkpoint
from csm.checkpoint import loading
from csm.checkpoint.layout import AUDIO_EMBEDDING, DEPTH_EMBEDDING, expected_shapes
from csm.checkpoint.loading import resolve_device, usual_dtype

HUB_ID = "owner/tiny-csm"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
INDEX = "transformers.safetensors.index.json"


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """A checkpoint to damage."""
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def all_weights(folder: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = {}
    for shard in shards(folder):
        weights |= load_file(shard)
    return weights


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("transformers-*.safetensors"))


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_the_hubs_layout_loads_whole(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoint = load_checkpoint(str(tiny), device="cpu", dtype=torch.float32)

    assert checkpoint.name == str(tiny)
    assert checkpoint.device == torch.device("cpu")
    assert checkpoint.dtype == torch.float32
    saved = {name: w for name, w in all_weights(tiny).items() if "codec_model" not in name}
    assert len(saved) > 30
    assert all(torch.equal(checkpoint.tensors[name], saved[name]) for name in saved)
    assert not checkpoint.codec.training
    # Off a terminal, no progress bars.
    assert capfd.readouterr() == ("", "")


def test_the_released_rope_scaling_is_kept(tiny: Path) -> None:
    config = load_checkpoint(str(tiny), device="cpu").config
    expected = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0}
    backbone, depth = config.rope_parameters, config.depth_decoder_config.rope_parameters
    assert expected.items() <= backbone.items() and expected.items() <= depth.items()
    assert (backbone["low_freq_factor"], backbone["high_freq_factor"]) == (0.125, 0.5)
    assert (depth["low_freq_factor"], depth["high_freq_factor"]) == (0.001953125, 0.0078125)


def test_names_and_shapes_are_those_of_transformers() -> None:
    config = CsmConfig()
    with torch.device("meta"):
        theirs = CsmForConditionalGeneration(config).state_dict()
    assert expected_shapes(config) == {
        name: tuple(weight.shape) for name, weight in theirs.items() if "codec_model" not in name
    }


@pytest.mark.parametrize(
    ("place", "arithmetic", "engines", "dtype"),
    [
        ("cuda", False, [], torch.bfloat16),
        ("cpu", True, ["qnnpack"], torch.bfloat16),
        ("cpu", False, ["qnnpack", "fbgemm"], torch.bfloat16),
        ("cpu", False, ["qnnpack"], torch.float32),
    ],
)
def test_weights_are_bfloat16_where_that_is_faster(
    place: str,
    arithmetic: bool,
    engines: list[str],
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: arithmetic)
    monkeypatch.setattr(loading, "_quantized_engines", lambda: engines)
    assert usual_dtype(torch.device(place)) == dtype


def test_bfloat16_spares_the_codec(tiny: Path) -> None:
    checkpoint = load_checkpoint(str(tiny), device="cpu", dtype=torch.bfloat16)
    saved = all_weights(tiny)
    assert all(tensor.dtype == torch.bfloat16 for tensor in checkpoint.tensors.values())
    assert torch.equal(
        checkpoint.tensors["lm_head.weight"], saved["lm_head.weight"].to(torch.bfloat16)
    )
    assert all(tensor.dtype == torch.float32 for tensor in checkpoint.codec.parameters())
    loaded = {tuple(weight.shape): weight for weight in checkpoint.codec.state_dict().values()}
    kernel = saved["codec_model.decoder.layers.0.conv.weight"]
    assert torch.equal(loaded[tuple(kernel.shape)], kernel)
    (take,) = csm.Engine(checkpoint).speak(["Call me."], seed=0, max_seconds=0.5)
    assert len(take.samples) > 0


@pytest.mark.parametrize("sharded", [True, False])
def test_the_plain_layout_loads_too(sharded: bool, copy: Path) -> None:
    weights = all_weights(copy)
    edit(copy / "config.json", lambda config: config.pop("transformers_weights"))
    (copy / "model.safetensors").unlink()
    if sharded:
        (copy / INDEX).rename(copy / "model.safetensors.index.json")
    else:
        (copy / INDEX).unlink()
        save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    tensors = load_checkpoint(str(copy), device="cpu", dtype=torch.float32).tensors
    assert torch.equal(tensors["lm_head.weight"], weights["lm_head.weight"])


def in_one_file(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Replace a checkpoint's weights."""
    save_file(weights, folder / "all.safetensors", metadata={"format": "pt"})
    config(transformers_weights="all.safetensors")(folder)


@pytest.mark.parametrize(
    "names", [(AUDIO_EMBEDDING,), (DEPTH_EMBEDDING,), (AUDIO_EMBEDDING, DEPTH_EMBEDDING)]
)
def test_the_shared_embedding_is_held_once(names: tuple[str, ...], copy: Path) -> None:
    """The released files hold it twice, those of later versions once, under either name."""
    weights = all_weights(copy)
    shared = weights[DEPTH_EMBEDDING]
    rest = {name: weight for name, weight in weights.items() if weight is not shared}
    rest.pop(AUDIO_EMBEDDING, None)
    in_one_file(copy, {**rest, **{name: shared.clone() for name in names}})
    tensors = load_checkpoint(str(copy), device="cpu", dtype=torch.float32).tensors
    assert tensors[AUDIO_EMBEDDING] is tensors[DEPTH_EMBEDDING]
    assert torch.equal(tensors[AUDIO_EMBEDDING], shared)


def test_two_embeddings_that_differ_stay_two(copy: Path) -> None:
    weights = all_weights(copy)
    weights[AUDIO_EMBEDDING] = weights[DEPTH_EMBEDDING] + 1
    in_one_file(copy, weights)
    tensors = load_checkpoint(str(copy), device="cpu", dtype=torch.float32).tensors
    assert torch.equal(tensors[AUDIO_EMBEDDING], tensors[DEPTH_EMBEDDING] + 1)


def test_a_config_of_another_version_of_transformers(copy: Path) -> None:
    for value in (True, False):
        config(tie_word_embeddings=value)(copy)
        assert load_checkpoint(str(copy), device="cpu").config.num_codebooks == 32


def test_no_tensor_stays_in_its_file(copy: Path) -> None:
    """Files may be replaced or vanish while the weights are in use."""
    checkpoint = load_checkpoint(str(copy), device="cpu")
    for shard in shards(copy):
        shard.write_bytes(bytes(shard.stat().st_size))
    assert checkpoint.tensors["lm_head.weight"].abs().sum() > 0
    assert all(tensor.isfinite().all() for tensor in checkpoint.codec.parameters())


def unlink(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def write(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content) and None


def config(**values: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", lambda content: content.update(values))


def lose_a_shard(folder: Path) -> None:
    shards(folder)[1].unlink()


def truncate(folder: Path) -> None:
    shard = shards(folder)[1]
    with shard.open("r+b") as file:
        file.truncate(shard.stat().st_size // 2)


def forget_a_weight(folder: Path) -> None:
    shard = folder / json.loads((folder / INDEX).read_text())["weight_map"]["lm_head.weight"]
    weights = load_file(shard)
    del weights["lm_head.weight"]
    save_file(weights, shard, metadata={"format": "pt"})
    edit(folder / INDEX, lambda index: index["weight_map"].pop("lm_head.weight"))


def lose_of_the_codec(folder: Path) -> None:
    weights = all_weights(folder)
    del weights["codec_model.downsample.conv.weight"]
    in_one_file(folder, weights)


def misshape_the_codec(folder: Path) -> None:
    in_one_file(
        folder, {**all_weights(folder), "codec_model.downsample.conv.weight": torch.ones(3)}
    )


def in_part(part: str, **values: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", lambda content: content[part].update(values))


def one_more_layer(folder: Path) -> None:
    weights = all_weights(folder)
    layer = "backbone_model.layers.1."
    more = {
        name.replace(layer, "backbone_model.layers.2."): weight.clone()
        for name, weight in weights.items()
        if name.startswith(layer)
    }
    assert more
    in_one_file(folder, weights | more)


def one_more_codec_layer(folder: Path) -> None:
    weights = all_weights(folder)
    layer = "codec_model.decoder_transformer.layers.0."
    more = {
        name.replace(layer, layer.replace("0", "1")): weight.clone()
        for name, weight in weights.items()
        if name.startswith(layer)
    }
    assert more
    in_one_file(folder, weights | more)


def one_more_quantizer(folder: Path) -> None:
    weights = all_weights(folder)
    last = next(name for name in weights if "acoustic" in name and ".layers.30." in name)
    one = weights[last].clone()
    in_one_file(folder, weights | {last.replace(".layers.30.", ".layers.31."): one})


def one_more_tensor(folder: Path) -> None:
    in_one_file(folder, {**all_weights(folder), "adapter.weight": torch.ones(3, 3)})


def flip(name: str, bit: int) -> Callable[[Path], None]:
    """Flip one bit of one value in its file."""

    def damage(folder: Path) -> None:
        weights = all_weights(folder)
        before = weights[name].flatten()[-1].view(torch.int32)
        damaged = weights[name].clone()
        damaged.view(-1)[-1] = (before ^ (1 << bit)).view(torch.float32)
        in_one_file(folder, {**weights, name: damaged})

    return damage


def no_number(name: str) -> Callable[[Path], None]:
    return lambda folder: in_one_file(
        folder, {**all_weights(folder), name: all_weights(folder)[name] * float("nan")}
    )


def untie(folder: Path) -> None:
    weights = all_weights(folder)
    weights.pop(AUDIO_EMBEDDING, None)
    in_one_file(folder, weights)
    config(tie_codebooks_embeddings=False)(folder)


def quantise(folder: Path) -> None:
    weights = all_weights(folder)
    in_one_file(folder, {**weights, "lm_head.weight": weights["lm_head.weight"].to(torch.int8)})


def point_outside(folder: Path) -> None:
    edit(folder / INDEX, lambda index: index["weight_map"].update({"x": "../../secret"}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (unlink("config.json"), r"holds no config\.json: give the folder"),
        (write("config.json", "{"), r"damaged: .*config\.json is no readable JSON"),
        (write("config.json", "[]"), "holds no JSON object"),
        (config(model_type="llama"), "is no CSM checkpoint.*model_type 'llama'"),
        (config(hidden_size="wide"), "cannot be loaded"),
        (config(hidden_size=128), "a hidden size of 128, and of 64"),
        (config(text_vocab_size=128), "has ids up to .* knows 128 words"),
        (config(intermediate_size=128), r"mlp.*shape \(.*config.json says"),
        (config(attention_bias=True), "asks for biases"),
        (untie, "lacks 1 of the weights of a CSM, backbone_model.embed_tokens"),
        (lose_of_the_codec, "lacks 1 of the weights of its codec"),
        (misshape_the_codec, "the codec of .* cannot be loaded"),
        (one_more_layer, "7 more weights than"),
        (one_more_codec_layer, "more weights than .* codec|decoder_transformer"),
        (one_more_quantizer, "1 more weights than .*acoustic"),
        (one_more_tensor, r"1 more weights .*adapter\.weight"),
        (flip("lm_head.weight", 30), r"damaged: lm_head\.weight holds the value"),
        (
            flip("depth_decoder.model.layers.0.mlp.down_proj.weight", 30),
            r"damaged: depth_decoder.*holds the value",
        ),
        (flip("embed_text_tokens.weight", 30), "damaged: embed_text_tokens.* holds the value"),
        (no_number("codec_model.downsample.conv.weight"), "damaged: codec_model.* the value nan"),
        (no_number("lm_head.weight"), r"damaged: lm_head\.weight holds the value nan"),
        (config(num_codebooks=16), "16 codebooks, and 32"),
        (in_part("depth_decoder_config", num_codebooks=16), "codebooks"),
        (in_part("codec_config", num_quantizers=16), "32 codebooks, and 16 for the codec"),
        (in_part("depth_decoder_config", vocab_size=1000), "codes"),
        (in_part("depth_decoder_config", backbone_hidden_size=32), "hidden size of 64, and of 32"),
        (in_part("codec_config", sampling_rate=16_000), "16000 samples a second"),
        (config(num_attention_heads=3), "3 heads and 2 key heads"),
        (config(num_hidden_layers=0), "0 layers"),
        (config(num_hidden_layers=1), "7 more weights than"),
        (config(max_position_embeddings=16), "16 positions"),
        (config(rope_scaling={"rope_type": "llama3"}, rope_theta=5e5), "cannot be loaded"),
        (quantise, r"lm_head\.weight as torch\.int8.*quantised"),
        (unlink("tokenizer.json"), r"holds no tokenizer\.json"),
        (unlink("tokenizer_config.json"), r"holds no tokenizer_config\.json"),
        (write("tokenizer.json", "{}"), "tokenizer of .* cannot be loaded"),
        (unlink(INDEX), "holds no weights.*is missing"),
        (write(INDEX, '{"weight_map": []}'), "lists no weight files"),
        (point_outside, "lists no weight files of this folder"),
        (lose_a_shard, r"incomplete or damaged.*00002-of"),
        (truncate, r"incomplete or damaged: .*00002-of.*delete it and load"),
        (forget_a_weight, r"lacks 1 of the weights of a CSM, lm_head\.weight"),
    ],
)
def test_a_damaged_folder_says_what_to_do(
    damage: Callable[[Path], None], message: str, copy: Path
) -> None:
    damage(copy)
    with pytest.raises(CsmError, match=message):
        load_checkpoint(str(copy), device="cpu")


@pytest.mark.parametrize("name", ["/nowhere/csm", "nowhere", "./a/b", "a/b/c", "", "owner/../x"])
def test_neither_folder_nor_hub_id(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(CsmError, match=r"no folder .* no hub id|holds no config"):
        load_checkpoint(name, device="cpu")


def test_devices() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    for word in ("gpu", "cuda:x", "cuda:-1", "CPU", ""):
        with pytest.raises(CsmError, match=r"unknown device.*use auto, cpu, cuda or cuda:N"):
            resolve_device(word)


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(CsmError, match=r"torch is a CPU build.*or set the device to cpu"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(CsmError, match=r"no GPU can be used.*nvidia-smi.*CUDA 13\.0"):
        resolve_device("cuda:0")


def test_with_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert [str(resolve_device(word)) for word in ("auto", "cuda", "cuda:1")] == [
        "cuda:0",
        "cuda:0",
        "cuda:1",
    ]
    with pytest.raises(CsmError, match="there are 2 GPUs, counted from cuda:0"):
        resolve_device("cuda:2")


@dataclass
class Hub:
    """As much of a hub as a download asks for."""

    folder: Path
    url: str = ""
    token: str | None = None
    hidden: set[str] = field(default_factory=set)
    busy: tuple[int, dict[str, str]] | None = None
    requests: list[str] = field(default_factory=list)
    stop: Callable[[], None] = lambda: None

    def refusal(self, authorization: str | None) -> tuple[int, str, str] | None:
        """Status, error code and error message, as the hub gives them."""
        if authorization and authorization != "Bearer right" and authorization != "Bearer other":
            return 401, "", "Invalid credentials in Authorization header"
        if self.token and authorization is None:
            return 401, "GatedRepo", "Access to this model is restricted."
        if self.token and authorization != f"Bearer {self.token}":
            return 403, "GatedRepo", "Access to this model is restricted."
        return None


@pytest.fixture
def hub(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub(tiny)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(body=True)

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def answer(self, *, body: bool) -> None:
            hub.requests.append(self.path)
            if hub.busy is not None:
                self.send_response(hub.busy[0])
                for name, value in (*hub.busy[1].items(), ("Content-Length", "0")):
                    self.send_header(name, value)
                self.end_headers()
                return
            refused = hub.refusal(self.headers.get("Authorization"))
            repository, _, name = self.path.lstrip("/").partition("/resolve/")
            name = name.partition("/")[2]
            file = hub.folder / name
            if repository != HUB_ID:
                refused = (401, "RepoNotFound", "Repository not found")
            elif refused is None and (name in hub.hidden or not file.is_file()):
                refused = (404, "EntryNotFound", "Entry not found")
            content = b"" if refused else file.read_bytes()
            self.send_response(refused[0] if refused else 200)
            if refused:
                self.send_header("X-Error-Code", refused[1])
                self.send_header("X-Error-Message", refused[2])
            else:
                self.send_header("ETag", f'"{name}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    def stop() -> None:
        if thread.is_alive():
            server.shutdown()
            server.server_close()
            thread.join()

    hub.stop = stop
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    constants = huggingface_hub.constants
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.url),
    )
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    yield hub
    stop()


def test_from_the_hub_then_from_the_cache(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.token = "right"
    monkeypatch.setenv("HF_TOKEN", "right")
    first = load_checkpoint(HUB_ID, device="cpu")
    assert first.name == HUB_ID
    # The original's weights are gigabytes that nothing here reads.
    assert not any(path.endswith("/model.safetensors") for path in hub.requests)
    assert capfd.readouterr().err == ""

    hub.stop()
    hub.requests.clear()
    monkeypatch.delenv("HF_TOKEN")
    again = load_checkpoint(HUB_ID, device="cpu")
    assert torch.equal(first.tensors["lm_head.weight"], again.tensors["lm_head.weight"])
    assert hub.requests == []


def test_a_broken_off_download_is_finished(hub: Hub) -> None:
    first, *_, shard = [shard.name for shard in shards(hub.folder)]
    hub.hidden = {shard}
    with pytest.raises(CsmError, match="lacks a file that a CSM checkpoint needs"):
        load_checkpoint(HUB_ID, device="cpu")
    hub.hidden = set()
    hub.requests.clear()
    load_checkpoint(HUB_ID, device="cpu")
    assert any(path.endswith(shard) for path in hub.requests)
    assert not any(path.endswith(first) for path in hub.requests)


def test_a_hub_repository_in_the_plain_layout(hub: Hub, copy: Path) -> None:
    edit(copy / "config.json", lambda config: config.pop("transformers_weights"))
    (copy / "model.safetensors").unlink()
    (copy / INDEX).rename(copy / "model.safetensors.index.json")
    hub.folder = copy
    load_checkpoint(HUB_ID, device="cpu")
    hub.stop()
    load_checkpoint(HUB_ID, device="cpu")


@pytest.mark.parametrize(
    ("needed", "given", "message"),
    [
        ("right", None, "is gated and there is no token: accept the terms at .* set HF_TOKEN"),
        ("right", "other", "is gated and the token's account has no access"),
        ("right", "wrong", "the hub refused the token.*wrong, expired.*set HF_TOKEN"),
        (None, "wrong", "the hub refused the token"),
    ],
)
def test_tokens(needed: str | None, given: str | None, message: str, hub: Hub) -> None:
    hub.token = needed
    with pytest.raises(CsmError, match=message) as caught:
        load_checkpoint(HUB_ID, device="cpu", token=given)
    assert given is None or f"Bearer {given}" not in str(caught.value)


def test_an_unknown_repository(hub: Hub) -> None:
    with pytest.raises(CsmError, match=r"knows no model owner/nothing.*no folder.*check the spell"):
        load_checkpoint("owner/nothing", device="cpu")


def test_a_repository_without_weights(hub: Hub) -> None:
    hub.hidden = {INDEX}
    with pytest.raises(CsmError, match="lacks a file that a CSM checkpoint needs"):
        load_checkpoint(HUB_ID, device="cpu")


def test_a_repository_of_another_model(hub: Hub, copy: Path) -> None:
    config(model_type="llama")(copy)
    hub.folder = copy
    with pytest.raises(CsmError, match="is no CSM checkpoint"):
        load_checkpoint(HUB_ID, device="cpu")


def test_no_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.stop()
    # The hub's client waits between its attempts.
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(CsmError, match="not in the local cache and the hub cannot be reached:"):
        load_checkpoint(HUB_ID, device="cpu")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CsmError, match=r"cannot be reached \(HF_HUB_OFFLINE is set\)"):
        load_checkpoint(HUB_ID, device="cpu")
