"""Words count that stand in min_count texts of both domains together."""

LOSES = {"test_overlap_2": "'rare' is in one vocabulary alone"}


# %% overlap
def overlap(left, right, n, stop_words=frozenset()):

    def top(counts):
        words = [word for word in counts if word not in stop_words]
        return set(sorted(words, key=lambda word: (-counts[word], word))[:n])

    return len(top(left) & top(right)) / n


def jaccard(left, right, min_count=3, stop_words=frozenset()):

    def vocabulary(counts):
        return {w for w in counts if left.get(w, 0) + right.get(w, 0) >= min_count} - stop_words

    one, other = (vocabulary(left), vocabulary(right))
    return len(one & other) / len(one | other)
