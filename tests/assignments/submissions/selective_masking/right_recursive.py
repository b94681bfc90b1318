"""All right, with recursion, comprehensions and sorting the other way round."""

LOSES: dict[str, str] = {}


# %% important_words
def important_words(classify, words, label, delta=0.05, stop_words=frozenset()):
    whole = classify(list(words))[label]

    def go(position, kept):
        if position == len(words):
            return []
        word = words[position]
        if classify(kept + [word])[label] > whole - delta:
            own = [] if word in stop_words else [position]
            return own + go(position + 1, kept)
        return go(position + 1, kept + [word])

    return go(0, [])


# %% is_degenerate
def is_degenerate(classify, words, label, delta=0.05):
    empty = classify([])[label]
    return empty > classify(words)[label] - delta


# %% teaching_sentences
def teaching_sentences(probabilities, labels, splits, rate=1.0):
    rows = zip(probabilities, labels, splits)
    rows = [(p[y], -i) for i, (p, y, s) in enumerate(rows) if s == "train" and p[y] >= max(p)]
    count = max(int(len(rows) * rate), 1)
    return [-i for _, i in sorted(rows, reverse=True)][:count]


# %% masked_positions
def masked_positions(scores, special):
    n = special.count(False)
    ranked = sorted(range(len(scores)), key=lambda i: scores[i], reverse=True)
    ranked = [i for i in ranked if scores[i] > 0 and not special[i]]
    return sorted(ranked[: max(1, n * 15 // 100)])


def control_positions(scores, special, seed):
    words = [i for i in range(len(special)) if not special[i]]
    random.Random(seed).shuffle(words)
    return sorted(words[: len(masked_positions(scores, special))])


# %% mended_selection
def mended_selection(train_batches, valid_batches, step, measure, n_epochs):
    best, best_loss = 0, float("inf")
    for epoch in range(n_epochs):
        [step(b) for b in train_batches]
        values = [v for b in valid_batches for v in [measure(b)] * len(b)]
        loss = math.fsum(values) / len(values)
        if loss < best_loss:
            best, best_loss = epoch, loss
    return best
