import hashlib

import pytest
import torch

from sgps.encoders import TimmImageEncoder, _open_clip, load_image_encoder, load_text_encoder
from sgps.encoders._inputs import weights_digest
from sgps.encoders._torchvision_operators import import_open_clip, import_timm
from sgps.encoders.target_networks import create_target_network
from sgps.errors import InputError, OperatorError, UnknownNameError


def draw_images(count: int, size: int = 40) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, 3, size, size + 8), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def tiny_pair():
    open_clip = import_open_clip()
    torch.manual_seed(0)
    network = open_clip.CLIP(
        embed_dim=32,
        vision_cfg={"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        text_cfg={"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
    )
    open_clip.set_model_preprocess_cfg(
        network, {"size": 32, "mean": (0.48, 0.46, 0.41), "std": (0.27, 0.26, 0.28)}
    )
    return _open_clip.build_pair("open_clip:tiny", network, open_clip.get_tokenizer("ViT-S-32-alt"))


def test_lite0_features_are_those_of_the_target_network():
    encoder = load_image_encoder("tf_efficientnet_lite0")
    images = draw_images(3)
    with torch.inference_mode():
        reference = create_target_network()((images.float() / 255 - 0.5) / 0.5)
    assert (encoder.name, encoder.width) == ("tf_efficientnet_lite0", 1280)
    torch.testing.assert_close(encoder.encode(images), reference, atol=1e-5, rtol=1e-4)


def test_batches_and_order_do_not_matter():
    encoder = load_image_encoder("tf_efficientnet_lite0")
    images = draw_images(70, size=32)
    features = encoder.encode(images)
    assert features.shape == (70, 1280)
    torch.testing.assert_close(encoder.encode(images.flip(0)).flip(0), features, atol=1e-4, rtol=0)
    assert encoder.encode(images[:0]).shape == (0, 1280)


def test_networks_of_fixed_size_get_resized_images():
    network = import_timm().create_model("test_vit", pretrained=False, num_classes=0)
    encoder = TimmImageEncoder("test_vit", network)
    assert encoder.encode(draw_images(2)).shape == (2, encoder.width)


@pytest.mark.parametrize(
    "images",
    [torch.zeros(1, 3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.uint8)],
    ids=["float", "one"],
)
def test_other_arrays_are_refused(images):
    with pytest.raises(InputError, match="expected uint8 of shape"):
        load_image_encoder("tf_efficientnet_lite0").encode(images)


def test_version_follows_the_weights():
    network = torch.nn.Linear(2, 2)
    before = weights_digest(network)
    assert before == weights_digest(network)
    with torch.no_grad():
        network.weight[0, 0] += 1
    assert weights_digest(network) != before


def test_open_clip_pair_encodes_images_and_texts_into_one_space(tiny_pair):
    images = _open_clip.OpenClipImageEncoder(tiny_pair)
    texts = _open_clip.OpenClipTextEncoder(tiny_pair)
    image_features = images.encode(draw_images(3))
    text_features = texts.encode(["a mole", "", "a scar"])
    assert image_features.shape == text_features.shape == (3, 32)
    torch.testing.assert_close(image_features.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(text_features.norm(dim=1), torch.tensor([1.0, 0.0, 1.0]))
    assert images.encode(draw_images(3)[:0]).shape == (0, 32)


def test_open_clip_builds_its_smallest_architecture_without_network():
    open_clip = import_open_clip()
    network = open_clip.create_model("ViT-S-32-alt", pretrained=None)
    pair = _open_clip.build_pair(
        "open_clip:ViT-S-32-alt", network, open_clip.get_tokenizer("ViT-S-32-alt")
    )
    encoder = _open_clip.OpenClipImageEncoder(pair)
    assert encoder.encode(draw_images(2, size=64)).shape == (2, encoder.width)


@pytest.mark.parametrize("load", [load_image_encoder, load_text_encoder])
@pytest.mark.parametrize("name", ["biomedclip", "open_clip:ViT-B-32", "open_clip:RN50:openai"])
def test_weights_of_the_hub_need_permission(load, name):
    with pytest.raises(UnknownNameError, match="allow downloads"):
        load(name)


@pytest.mark.parametrize("name", ["open_clip:nonesuch", "open_clip:ViT-B-32:nonesuch"])
def test_unknown_pairs_are_refused(name):
    with pytest.raises(UnknownNameError, match="nonesuch"):
        load_image_encoder(name, allow_downloads=True)


def test_unknown_and_undownloaded_timm_models_are_told_apart():
    with pytest.raises(UnknownNameError, match=r"unknown image encoder.*resnet50"):
        load_image_encoder("resnet5O")
    with pytest.raises(UnknownNameError, match="allow downloads"):
        load_image_encoder("resnet50")


def test_biomedclip_is_asked_of_its_repository(monkeypatch, tiny_pair):
    asked = []
    open_clip = import_open_clip()

    def create_model(name, **options):
        asked.append((name, options["require_pretrained"]))
        return tiny_pair.network

    monkeypatch.setattr(open_clip, "create_model", create_model)
    monkeypatch.setattr(open_clip, "get_tokenizer", lambda _: tiny_pair.tokenizer)
    _open_clip._download.cache_clear()
    pair = _open_clip.load_open_clip("biomedclip", allow_downloads=True)
    _open_clip._download.cache_clear()
    assert pair.name == "biomedclip"
    assert asked == [("hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224", True)]


def test_hub_failures_are_the_operators_to_mend(monkeypatch):
    def unreachable(*_args, **_kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(import_open_clip(), "create_model", unreachable)
    with pytest.raises(OperatorError, match="no route to host"):
        load_image_encoder("biomedclip", allow_downloads=True)
    monkeypatch.setattr(import_timm(), "create_model", unreachable)
    with pytest.raises(OperatorError, match="no route to host"):
        load_image_encoder("resnet18", allow_downloads=True)


def test_pixel_digest_is_over_size_and_rgb_bytes():
    from sgps.encoders.cache import pixel_sha256

    image = draw_images(1, size=4)[0]
    pixels = image.permute(1, 2, 0).numpy()
    expected = hashlib.sha256(b"4x12x3:" + pixels.tobytes()).hexdigest()
    assert pixel_sha256(image) == expected
