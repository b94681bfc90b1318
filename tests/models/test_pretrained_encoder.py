"""Any checkpoint with its tokenizer: BERT, RoBERTa and DistilBERT folders, and the shipped one."""

import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, GPT2Config, GPT2Model

from tests.tiny_checkpoints import POSITIONS
from ulmfit_lib.models.encoder import MaskedPositionsModel, load_encoder
from ulmfit_lib.models.encoder_classifier import EncoderClassifier, EncoderClassifierConfig
from ulmfit_lib.models.pretrained_encoder import (
    encoder_parts,
    load_pretrained_encoder,
    n_positions,
    special_tokens,
)
from ulmfit_lib.text.batches import BatchConfig, TextLoader
from ulmfit_lib.text.framing import FramedDataset
from ulmfit_lib.text.special_tokens import BOOK_TOKENS
from ulmfit_lib.text.tokenizer import MASK_ID, encode, load_tokenizer
from ulmfit_lib.training.groups import check_partition, classifier_groups, layerwise_groups

TEXTS = ["the old mill", "a new bridge rises", "stones"]


def test_framed_texts_are_those_of_the_checkpoint_s_own_tokenizer(checkpoint):
    found, own = load_pretrained_encoder(checkpoint), AutoTokenizer.from_pretrained(checkpoint)
    dataset = FramedDataset(found.encode(TEXTS), POSITIONS, special=found.special)
    for i, text in enumerate(TEXTS):
        ids = own(text, add_special_tokens=False)["input_ids"]
        expected = [own.cls_token_id, *ids, own.sep_token_id]
        assert dataset[i][0] == frame_of(expected)


def frame_of(ids):
    """As cut to the places of the tiny models."""
    return ids if len(ids) <= POSITIONS else [*ids[: POSITIONS - 1], ids[-1]]


def test_batches_are_padded_as_the_checkpoint_wants(checkpoint):
    found, reference = load_pretrained_encoder(checkpoint), AutoModel.from_pretrained(checkpoint)
    dataset = FramedDataset(found.encode(TEXTS), POSITIONS, special=found.special)
    ends = {"pad_id": found.special.pad_id, "sep_id": found.special.sep_id}
    config = EncoderClassifierConfig("cls", **ends)
    model = EncoderClassifier(found.model, 2, config).eval()
    loader = TextLoader(dataset, BatchConfig(8))
    with torch.no_grad():
        rows = loader.in_dataset_order(torch.cat([model.pooled(ids) for (ids,) in loader]))
        for i, row in enumerate(rows):
            alone = reference.eval()(torch.tensor([dataset[i][0]])).last_hidden_state[0, 0]
            torch.testing.assert_close(row, alone, atol=1e-5, rtol=1e-5)


def test_every_parameter_has_one_rate(checkpoint):
    model = EncoderClassifier(load_pretrained_encoder(checkpoint).model, 2)
    check_partition(model, classifier_groups(model))
    rates = [group["lr"] for group in layerwise_groups(model, 1.0, 0.5)]
    assert rates == [0.0625, 0.125, 0.25, 0.5, 1.0]


def test_the_pooler_is_kept_and_grouped_where_it_is_asked_for(checkpoint):
    encoder = AutoModel.from_pretrained(checkpoint).eval()
    config = EncoderClassifierConfig("pooler")
    if encoder_parts(encoder).pooler is None:
        with pytest.raises(ValueError, match="this encoder has no pooler"):
            EncoderClassifier(encoder, 2, config)
        return
    model = EncoderClassifier(encoder, 2, config).eval()
    check_partition(model, classifier_groups(model))
    assert len(classifier_groups(model)[-1]) == 4  # pooler and head
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(model.pooled(ids), encoder(ids).pooler_output)


def test_masked_positions_are_read_as_by_the_whole_model(checkpoint):
    whole = AutoModelForMaskedLM.from_pretrained(checkpoint).eval()
    ids = torch.randint(5, 15, (2, 6))
    found = MaskedPositionsModel(whole)(ids, torch.tensor([1, 7, 11])).logits
    expected = whole(ids).logits.flatten(0, 1)[[1, 7, 11]]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_all_places_and_no_more_can_be_used(checkpoint):
    found = load_pretrained_encoder(checkpoint)
    assert n_positions(found.model) == POSITIONS
    found.model(torch.full((1, POSITIONS), 5))
    with pytest.raises((IndexError, RuntimeError)):
        found.model(torch.full((1, POSITIONS + 1), 5))


def test_a_mask_in_a_text_is_text(checkpoint):
    found = load_pretrained_encoder(checkpoint)
    assert found.tokenizer.token_to_id(found.mask) not in found.encode([f"the {found.mask}"])[0]
    assert int(found.vocabulary.mask_id) == found.tokenizer.token_to_id(found.mask)


def test_the_shipped_encoder_is_the_default():
    found = load_pretrained_encoder()
    assert found.special == BOOK_TOKENS and found.vocabulary.mask_id == MASK_ID
    assert found.encode(TEXTS) == encode(load_tokenizer(), TEXTS)
    for ours, theirs in zip(
        found.model.parameters(), load_encoder().bert.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_what_is_no_such_checkpoint_is_refused(tmp_path):
    for name in ("", tmp_path / "nothing"):
        with pytest.raises(FileNotFoundError, match="is no checkpoint here"):
            load_pretrained_encoder(name)
    for found in ("{}", '{"model_type": "gpt2"}'):
        (tmp_path / "config.json").write_text(found)
        with pytest.raises(ValueError, match="is no masked language model"):
            load_pretrained_encoder(tmp_path)
    other = GPT2Model(GPT2Config(vocab_size=10, n_embd=8, n_layer=1, n_head=1))
    with pytest.raises(TypeError, match="layers of GPT2Model are not known"):
        EncoderClassifier(other, 2)
    with pytest.raises(TypeError, match="head of GPT2Model is not known"):
        MaskedPositionsModel(other)


def test_a_tokenizer_without_a_mask_is_refused(checkpoint):
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    tokenizer.mask_token = None
    with pytest.raises(ValueError, match="has no mask_token"):
        special_tokens(tokenizer)


def test_a_checkpoint_in_the_working_folder_has_a_name(checkpoint, monkeypatch):
    monkeypatch.chdir(checkpoint)
    assert load_pretrained_encoder(".").name == checkpoint.name


def test_a_checkpoint_is_known_by_its_weights(checkpoint):
    first, again = (load_pretrained_encoder(checkpoint).weight_hashes() for _ in range(2))
    assert first == again and list(first) == [checkpoint.name]
    changed = load_pretrained_encoder(checkpoint)
    with torch.no_grad():
        next(changed.masked_lm.parameters())[0, 0] += 1
    assert changed.weight_hashes() != first
    assert load_pretrained_encoder().weight_hashes() == {}
