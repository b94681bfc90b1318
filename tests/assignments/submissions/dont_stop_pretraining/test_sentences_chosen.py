"""Test sentences of the task are chosen from the pool."""

LOSES = {"test_neighbours_2": "a test sentence of the task is chosen"}


# %% neighbours
def neighbours(task, pool, task_texts, pool_texts, test_texts, k):

    def plain(text):
        return " ".join(text.lower().split())

    seen = {plain(text) for text in task_texts}
    allowed = []
    for position, text in enumerate(pool_texts):
        if plain(text) not in seen:
            seen.add(plain(text))
            allowed.append(position)
    unit = torch.nn.functional.normalize
    similar = unit(task, dim=1) @ unit(pool[allowed], dim=1).T
    nearest = similar.topk(min(k, len(allowed)), dim=1).indices
    return sorted({allowed[i] for row in nearest.tolist() for i in row})
