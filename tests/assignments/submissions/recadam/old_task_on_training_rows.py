"""What is kept of the old task is measured on training rows."""

LOSES = {"test_forgetting_study": "the old task is measured on the rows"}


# %% forgetting_study
def forgetting_study(x, y_old, y_new, gammas, seeds, n_train):
    results = [[] for _ in gammas]
    zeros = torch.zeros(x.shape[1], 2)
    for seed in seeds:
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        train, test = order[:n_train], order[n_train:]
        old = tune_head(x[train], y_old[train], zeros, zeros, 0.0)
        for row, gamma in zip(results, gammas):
            head = tune_head(x[train], y_new[train], old, old, gamma)
            kept = accuracy(head, x[train], y_old[train])
            row.append([kept, accuracy(head, x[test], y_new[test])])
    return results
