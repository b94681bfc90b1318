"""All right, with while loops and torch."""

LOSES: dict[str, str] = {}


# %% important_words
def important_words(classify, words, label, delta=0.05, stop_words=frozenset()):
    goal, i, kept, result = classify(words)[label], 0, [], []
    while i < len(words):
        kept.append(words[i])
        if goal - classify(kept)[label] < delta:
            kept.pop()
            result.append(i)
        i += 1
    return [i for i in result if words[i] not in stop_words]


# %% is_degenerate
def is_degenerate(classify, words, label, delta=0.05):
    difference = classify(words)[label] - classify([])[label]
    if difference >= delta:
        return False
    return True


# %% teaching_sentences
import torch


def teaching_sentences(probabilities, labels, splits, rate=1.0):
    p, y = torch.tensor(probabilities), torch.tensor(labels)
    train = torch.tensor([split == "train" for split in splits])
    rows = torch.nonzero(train & (p.argmax(dim=1) == y)).flatten()
    confident = p[rows, y[rows]]
    order = confident.argsort(descending=True, stable=True)
    keep = max(1, math.floor(rate * len(rows)))
    return rows[order][:keep].tolist()


# %% masked_positions
def masked_positions(scores, special):
    s = torch.tensor(scores)
    s[torch.tensor(special)] = -1.0
    n = len(special) - sum(special)
    k = min(max(1, int(0.15 * n)), int((s > 0).sum()))
    return sorted(s.topk(k).indices.tolist())


def control_positions(scores, special, seed):
    words = torch.nonzero(~torch.tensor(special)).flatten()
    order = torch.randperm(len(words), generator=torch.Generator().manual_seed(seed))
    return sorted(words[order[: len(masked_positions(scores, special))]].tolist())


# %% mended_selection
def mended_selection(train_batches, valid_batches, step, measure, n_epochs):
    history = {}
    for epoch in range(n_epochs):
        for batch in train_batches:
            step(batch)
        total = count = 0
        for valid_batch in valid_batches:
            total += measure(valid_batch) * len(valid_batch)
            count += len(valid_batch)
        history[epoch] = total / count
    return min(history, key=history.get)
