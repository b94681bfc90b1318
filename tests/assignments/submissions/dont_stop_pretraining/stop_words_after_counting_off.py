"""Stop-words are taken out of the top words, so fewer than n are compared."""

LOSES = {"test_overlap": "after the words were counted off"}


# %% overlap
def overlap(left, right, n, stop_words=frozenset()):

    def top(counts):
        return set(sorted(counts, key=lambda word: (-counts[word], word))[:n]) - stop_words

    return len(top(left) & top(right)) / n


def jaccard(left, right, min_count=3, stop_words=frozenset()):

    def vocabulary(counts):
        return {w for w, n in counts.items() if n >= min_count} - stop_words

    one, other = (vocabulary(left), vocabulary(right))
    return len(one & other) / len(one | other)
