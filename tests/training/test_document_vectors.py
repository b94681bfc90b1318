"""The vector of a document is its own, whoever stands beside it in the batch."""

from __future__ import annotations

import numpy as np
import torch

from ulmfit_lib.models.awd_lstm import AWDLSTM, AWDLSTMConfig
from ulmfit_lib.models.pooling import masked_concat_pool, masked_mean
from ulmfit_lib.text.batches import TextDataset, begin_document
from ulmfit_lib.training.document_vectors import document_vectors


def test_a_frozen_encoders_vectors_are_those_of_each_document_alone() -> None:
    torch.manual_seed(0)
    encoder = AWDLSTM(AWDLSTMConfig(embedding_size=8, hidden_size=8, n_layers=2)).eval()
    documents = [[9, 8, 7], [10, 11, 12, 13, 14], [6]]
    for pool, labels in ((masked_concat_pool, None), (masked_mean, [0, 1, 0])):
        dataset = TextDataset(documents, labels)
        found = document_vectors(lambda ids: encoder(ids).raw, dataset, pool)
        assert not found.requires_grad
        for row, ids in zip(found, documents, strict=True):
            batch = torch.tensor([begin_document(ids)])
            with torch.no_grad():
                expected = pool(encoder(batch).raw, batch > 0)[0]
            np.testing.assert_allclose(row.numpy(), expected.numpy(), atol=1e-6)
