"""The encoder is stock BERT, and its folder is read by transformers' Auto classes."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

from ulmfit_lib.models.encoder import (
    SHIPPED_ENCODER,
    EncoderConfig,
    MaskedPositionsModel,
    build_encoder,
    encoder_card,
    load_encoder,
    save_encoder,
)
from ulmfit_lib.models.pretrained import SHIPPED_WEIGHTS
from ulmfit_lib.text.masking import masking_vocabulary
from ulmfit_lib.text.running_text import DamagedFileError
from ulmfit_lib.text.tokenizer import (
    BOS_ID,
    CLS_ID,
    MASK_ID,
    PAD_ID,
    SEP_ID,
    encode,
    load_tokenizer,
)
from ulmfit_lib.training.held_out import encoder_row, read_held_out

TINY = EncoderConfig(hidden_size=16, n_layers=2, n_heads=2, feed_forward_size=32, max_length=24)
TEXTS = ["The river rises.", "", "emoji 🙂 and שלום\nline two \x00 " + "long " * 40]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(0)
    model = build_encoder(TINY)
    folder = tmp_path_factory.mktemp("encoder") / "bert"
    save_encoder(model, TINY, load_tokenizer(), {"seed": 0}, folder)
    return model, folder


def test_auto_classes_read_the_folder_in_full_precision(saved):
    model, folder = saved
    loaded = AutoModelForMaskedLM.from_pretrained(folder)
    new, old = loaded.state_dict(), model.state_dict()
    assert new.keys() == old.keys()
    for name, tensor in new.items():
        assert tensor.dtype in (torch.float32, torch.int64), name
        if "token_type_embeddings" not in name and tensor.is_floating_point():
            assert torch.equal(tensor, old[name].half().float()), name
    assert not loaded.training
    ids = torch.randint(5, 8192, (2, 10))
    assert torch.allclose(loaded(ids).logits, model.eval()(ids).logits, atol=0.02)


def test_the_file_itself_is_in_half_precision(saved):
    model, folder = saved
    size = (folder / "model.safetensors").stat().st_size
    parameters = sum(p.numel() for p in model.parameters())
    assert 2 * parameters <= size < 2.2 * parameters


def test_the_decoder_is_tied_to_the_embedding(saved):
    loaded = load_encoder(saved[1])
    assert loaded.cls.predictions.decoder.weight is loaded.bert.embeddings.word_embeddings.weight
    assert loaded.cls.predictions.decoder.bias is loaded.cls.predictions.bias


def test_both_segments_start_from_the_same_embedding(saved):
    segments = load_encoder(saved[1]).bert.embeddings.token_type_embeddings.weight
    assert segments.shape == (2, 16) and torch.equal(segments[0], segments[1])


def test_a_loaded_model_has_the_dropout_of_fine_tuning(saved):
    model, folder = saved
    assert model.config.hidden_dropout_prob == 0.0
    assert load_encoder(folder).config.hidden_dropout_prob == 0.1
    assert load_encoder(folder).config.attention_probs_dropout_prob == 0.1


def test_a_classifier_can_be_made_of_it(saved):
    classifier = AutoModelForSequenceClassification.from_pretrained(saved[1], num_labels=3)
    batch = AutoTokenizer.from_pretrained(saved[1])(
        TEXTS, padding=True, truncation=True, return_tensors="pt"
    )
    assert classifier(**batch).logits.shape == (3, 3)


def test_the_tokenizer_frames_the_same_ids(saved):
    tokenizer = AutoTokenizer.from_pretrained(saved[1])
    plain = encode(load_tokenizer(), TEXTS)
    assert tokenizer.is_fast
    assert tokenizer(TEXTS)["input_ids"] == [[CLS_ID, *ids, SEP_ID] for ids in plain]
    assert tokenizer.decode(plain[2]) == TEXTS[2]
    batch = tokenizer(TEXTS, padding=True, truncation=True)
    assert {len(row) for row in batch["input_ids"]} == {TINY.max_length}
    assert batch["input_ids"][1] == [CLS_ID, SEP_ID] + [PAD_ID] * (TINY.max_length - 2)
    assert sum(batch["attention_mask"][1]) == 2


def test_the_tokenizer_knows_its_special_tokens(saved):
    tokenizer = AutoTokenizer.from_pretrained(saved[1])
    ids = (tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert ids == (PAD_ID, CLS_ID, SEP_ID)
    assert (tokenizer.mask_token_id, tokenizer.bos_token_id) == (MASK_ID, BOS_ID)
    assert tokenizer("a [MASK]")["input_ids"][-2] == MASK_ID
    assert len(tokenizer) == 8192


def test_pairs_get_two_segments(saved):
    first, second = encode(load_tokenizer(), ["one two", "three"])
    pair = AutoTokenizer.from_pretrained(saved[1])("one two", "three")
    assert pair["input_ids"] == [CLS_ID, *first, SEP_ID, *second, SEP_ID]
    assert pair["token_type_ids"] == [0] * (len(first) + 2) + [1] * (len(second) + 1)


def test_the_head_at_some_positions_gives_the_whole_models_logits():
    torch.manual_seed(0)
    model = build_encoder(TINY).eval()
    ids = torch.randint(5, 8192, (3, 7))
    ids[2, 4:] = PAD_ID
    positions = torch.tensor([0, 6, 9, 17])
    mask = ids != PAD_ID
    logits = MaskedPositionsModel(model)(ids, positions, mask).logits
    whole = model(ids, attention_mask=mask).logits.flatten(0, 1)
    assert torch.allclose(logits, whole[positions], atol=1e-6)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_card_says_what_the_file_is(saved):
    model, folder = saved
    card = encoder_card(folder)
    assert card["seed"] == 0 and card["model"]["hidden_size"] == 16
    assert card["parameters"] == sum(p.numel() for p in model.parameters())
    assert json.loads((folder / "config.json").read_text())["model_type"] == "bert"


def test_an_altered_file_is_refused(saved, tmp_path):
    for file in saved[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedFileError, match="restore both from the repository"):
        load_encoder(tmp_path)


def test_a_missing_encoder_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m ulmfit_lib pretrain bert"):
        load_encoder(tmp_path / "bert")
    with pytest.raises(FileNotFoundError, match="missing: model.json"):
        load_encoder(tmp_path)


def test_heads_must_share_the_width():
    with pytest.raises(ValueError, match="hidden_size=10 must be a multiple of n_heads=4"):
        EncoderConfig(hidden_size=10)


@pytest.mark.parametrize("wrong", [{"n_layers": 0}, {"vocab_size": -1}, {"dropout": 1.0}])
def test_sizes_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EncoderConfig(**wrong)


def test_the_shipped_encoder_has_the_loss_that_its_card_says():
    card, tokenizer = encoder_card(), load_tokenizer()
    held = read_held_out(Path(__file__).with_name("sample.txt"), tokenizer)
    length = card["config"]["packing"]["length"]
    row = encoder_row(load_encoder(), held.text, length, masking_vocabulary(tokenizer))
    stated = card["held_out"]["sample"]
    assert stated["corpus"] == held.text.fingerprint
    assert row["masked_tokens"] == stated["masked_tokens"] > 20
    assert row["mlm_loss"] == pytest.approx(stated["mlm_loss"], abs=1e-3)
    assert row["mlm_loss"] < 5.5  # the unigram entropy of its training text is 7.26


def test_auto_classes_read_the_shipped_encoder_and_it_fills_a_mask():
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_ENCODER)
    model = AutoModelForMaskedLM.from_pretrained(SHIPPED_ENCODER)
    batch = tokenizer("The river flows into the[MASK].", return_tensors="pt")
    place = (batch["input_ids"][0] == tokenizer.mask_token_id).nonzero().item()
    likeliest = model(**batch).logits[0, place].topk(20).indices
    assert {" sea", " river", " lake"} & {tokenizer.decode([i]) for i in likeliest.tolist()}


def test_all_weights_together_stay_below_40_mb():
    files = SHIPPED_WEIGHTS.rglob("*.safetensors")
    assert sum(file.stat().st_size for file in files) < 40e6
