"""The classifier tells an encoder which text a token is of, where the encoder can be told."""

import pytest
import torch
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

from ulmfit_lib.models.encoder import EncoderConfig, build_encoder, load_encoder
from ulmfit_lib.models.encoder_classifier import EncoderClassifier
from ulmfit_lib.models.segments import segments
from ulmfit_lib.text.tokenizer import CLS_ID, PAD_ID, SEP_ID

SINGLE = torch.tensor([[CLS_ID, 9, 8, SEP_ID, PAD_ID, PAD_ID]])
PAIR = torch.tensor([[CLS_ID, 9, SEP_ID, 8, 7, SEP_ID]])


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return EncoderClassifier(build_encoder(EncoderConfig(40, 16, 2, 2, 32, max_length=12)).bert, 2)


def test_pairs_are_told_apart_and_single_texts_read_as_before(classifier):
    classifier.eval()
    segment = classifier.encoder.embeddings.token_type_embeddings.weight
    with torch.no_grad():
        single, pair = classifier(SINGLE), classifier(PAIR)
        segment[1] += torch.randn(16)
        torch.testing.assert_close(classifier(SINGLE), single)
        assert not torch.allclose(classifier(PAIR), pair, atol=1e-4)


def test_the_second_segment_learns(classifier):
    classifier(PAIR).sum().backward()
    gradient = classifier.encoder.embeddings.token_type_embeddings.weight.grad
    assert gradient[1].abs().sum() > 0


def test_the_shipped_encoders_second_segment_is_a_copy_of_the_first():
    encoder = load_encoder().bert
    weight = encoder.embeddings.token_type_embeddings.weight
    assert torch.equal(weight[0], weight[1])
    assert set(segments(encoder, PAIR)) == {"token_type_ids"}


def test_an_encoder_without_two_segments_is_told_nothing():
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    one = BertModel(BertConfig(vocab_size=40, intermediate_size=8, type_vocab_size=1, **small))
    none = DistilBertModel(
        DistilBertConfig(vocab_size=40, dim=8, n_layers=1, n_heads=1, hidden_dim=8)
    )
    assert segments(one, PAIR) == segments(none, PAIR) == {}
