import pytest
import torch

from sgps.encoders import load_text_encoder, text
from sgps.encoders._torchvision_operators import import_timm
from sgps.errors import IntegrityError, OperatorError, UnknownNameError

TEXTS = [
    "An asymmetric pigmented lesion with an atypical network and blue-white veil.",
    "Red to purple lacunae, sharply demarcated.",
    "Firm papule, central white scar-like patch, delicate peripheral network. " * 60,
    "Zellen mit Auer-Stäbchen 細胞",
]


@pytest.fixture(scope="module")
def encoder():
    return load_text_encoder("minilm")


def test_agrees_with_the_transformers_implementation(encoder):
    import_timm()
    transformers = pytest.importorskip("transformers")
    folder = text._package_folder()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    network = transformers.BertModel.from_pretrained(folder).eval()
    for sentence in TEXTS:
        inputs = tokenizer(sentence, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            mean = network(**inputs).last_hidden_state.mean(1)
        reference = torch.nn.functional.normalize(mean)
        torch.testing.assert_close(encoder.encode([sentence]), reference, atol=2e-6, rtol=0)


def test_rows_have_unit_length_and_empty_texts_are_zeros(encoder):
    features = encoder.encode([TEXTS[0], "", "  \n", TEXTS[1]])
    assert features.shape == (4, encoder.width)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.norm(dim=1), torch.tensor([1.0, 0.0, 0.0, 1.0]))


def test_no_texts_give_no_rows(encoder):
    assert encoder.encode([]).shape == (0, 384)


def test_is_deterministic_and_does_not_depend_on_the_batch(encoder):
    together = encoder.encode(TEXTS * 9)
    assert torch.equal(together, encoder.encode(TEXTS * 9))
    alone = torch.cat([encoder.encode([sentence]) for sentence in TEXTS])
    torch.testing.assert_close(together[:4], alone, atol=1e-6, rtol=0)
    reversed_order = encoder.encode(TEXTS[::-1])
    torch.testing.assert_close(reversed_order.flip(0), alone, atol=1e-6, rtol=0)


def test_related_texts_are_closer_than_unrelated_ones(encoder):
    near, near_too, far = encoder.encode(
        ["a dark mole on the skin", "a pigmented skin lesion", "opacity in the left lung"]
    )
    assert near @ near_too > near @ far


def test_is_loaded_once():
    assert load_text_encoder("minilm") is load_text_encoder("minilm")


def test_unknown_names_are_refused():
    with pytest.raises(UnknownNameError, match="minilm, biomedclip or open_clip"):
        load_text_encoder("word2vec")


def test_changed_weights_are_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"foreign")
    with pytest.raises(IntegrityError, match="reinstall"):
        text.MiniLmEncoder(tmp_path)


def test_missing_package_is_the_operators_to_mend(monkeypatch):
    monkeypatch.setattr(text.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(OperatorError, match="not installed"):
        text._package_folder()
