"""k are counted off first, and what must not be chosen is taken out afterwards."""

LOSES = {"test_neighbours_2": "*before* counting off k"}


# %% neighbours
def neighbours(task, pool, task_texts, pool_texts, test_texts, k):
    unit = torch.nn.functional.normalize
    nearest = (unit(task, dim=1) @ unit(pool, dim=1).T).topk(min(k, len(pool)), dim=1).indices
    seen = {" ".join(text.lower().split()) for text in [*task_texts, *test_texts]}
    chosen = []
    for i in sorted(set(nearest.flatten().tolist())):
        plain = " ".join(pool_texts[i].lower().split())
        if plain not in seen:
            seen.add(plain)
            chosen.append(i)
    return chosen
