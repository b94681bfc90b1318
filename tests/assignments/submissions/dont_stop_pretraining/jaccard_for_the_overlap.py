"""The Jaccard similarity of the top words is taken for their overlap."""

LOSES = {"test_overlap": "this is the Jaccard similarity"}


# %% overlap
def overlap(left, right, n, stop_words=frozenset()):

    def top(counts):
        words = [word for word in counts if word not in stop_words]
        return set(sorted(words, key=lambda word: (-counts[word], word))[:n])

    return len(top(left) & top(right)) / len(top(left) | top(right))


def jaccard(left, right, min_count=3, stop_words=frozenset()):

    def vocabulary(counts):
        return {w for w, n in counts.items() if n >= min_count} - stop_words

    one, other = (vocabulary(left), vocabulary(right))
    return len(one & other) / len(one | other)
