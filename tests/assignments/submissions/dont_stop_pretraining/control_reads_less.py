"""The control reads as many texts as the task has, not as many as the neighbours are."""

LOSES = {"test_reading_study": "or the amount is compared"}


# %% reading_study
def reading_study(loss_after, loss_before, task, neighbours, pool, seeds):
    falls = {"task": [], "neighbours": [], "random": []}
    for seed in seeds:
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
        drawn = [pool[i] for i in order[: len(task)].tolist()]
        for arm, more in zip(falls, ([], neighbours, drawn), strict=True):
            falls[arm].append(loss_before - loss_after([*task, *more], seed))
    return falls


def paired_difference(left, right):
    differences = torch.tensor(left, dtype=torch.float64) - torch.tensor(right, dtype=torch.float64)
    error = differences.std() / math.sqrt(len(differences))
    return (differences.mean().item(), error.item())
