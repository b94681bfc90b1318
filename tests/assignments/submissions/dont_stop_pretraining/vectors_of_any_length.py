"""Neighbours by the dot product of vectors that were not brought to length 1."""

LOSES = {"test_neighbours": "the longest vector wins"}


# %% neighbours
def neighbours(task, pool, task_texts, pool_texts, test_texts, k):

    def plain(text):
        return " ".join(text.lower().split())

    seen = {plain(text) for text in [*task_texts, *test_texts]}
    allowed = []
    for position, text in enumerate(pool_texts):
        if plain(text) not in seen:
            seen.add(plain(text))
            allowed.append(position)
    similar = task @ pool[allowed].T
    nearest = similar.topk(min(k, len(allowed)), dim=1).indices
    return sorted({allowed[i] for row in nearest.tolist() for i in row})
