"""A word must stand in three texts, whatever was asked for."""

LOSES = {"test_overlap_2": "min_count is not used"}


# %% overlap
def overlap(left, right, n, stop_words=frozenset()):
    def top(counts):
        words = [word for word in counts if word not in stop_words]
        return set(sorted(words, key=lambda word: (-counts[word], word))[:n])

    return len(top(left) & top(right)) / n


def jaccard(left, right, min_count=3, stop_words=frozenset()):
    one, other = ({w for w, n in c.items() if n >= 3} - stop_words for c in (left, right))
    return len(one & other) / len(one | other)
