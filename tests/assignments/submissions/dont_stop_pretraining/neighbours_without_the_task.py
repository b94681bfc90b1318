"""The neighbours' arm reads the neighbours alone."""

LOSES = {"test_reading_study": "the neighbours' arm leaves out"}


# %% reading_study
def reading_study(loss_after, loss_before, task, neighbours, pool, seeds):
    falls = {"task": [], "neighbours": [], "random": []}
    for seed in seeds:
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
        drawn = [pool[i] for i in order[: len(neighbours)].tolist()]
        for arm, texts in zip(falls, (task, neighbours, [*task, *drawn]), strict=True):
            falls[arm].append(loss_before - loss_after(list(texts), seed))
    return falls


def paired_difference(left, right):
    differences = torch.tensor(left, dtype=torch.float64) - torch.tensor(right, dtype=torch.float64)
    error = differences.std() / math.sqrt(len(differences))
    return (differences.mean().item(), error.item())
