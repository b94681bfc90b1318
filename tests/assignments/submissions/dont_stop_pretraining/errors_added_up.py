"""The standard errors of both arms are added up, as if the seeds were not paired."""

LOSES = {"test_reading_study_2": "seeds are paired"}


# %% reading_study
def reading_study(loss_after, loss_before, task, neighbours, pool, seeds):
    falls = {"task": [], "neighbours": [], "random": []}
    for seed in seeds:
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
        drawn = [pool[i] for i in order[: len(neighbours)].tolist()]
        for arm, more in zip(falls, ([], neighbours, drawn), strict=True):
            falls[arm].append(loss_before - loss_after([*task, *more], seed))
    return falls


def paired_difference(left, right):
    differences = torch.tensor(left, dtype=torch.float64) - torch.tensor(right, dtype=torch.float64)
    arms = torch.tensor([left, right], dtype=torch.float64)
    error = (arms.var(dim=1).sum() / len(left)).sqrt()
    return (differences.mean().item(), error.item())
