"""The old head is trained on all rows, the test rows among them."""

LOSES = {"test_forgetting_study": "the old head is trained on the test rows"}


# %% forgetting_study
def forgetting_study(x, y_old, y_new, gammas, seeds, n_train):
    results = [[] for _ in gammas]
    zeros = torch.zeros(x.shape[1], 2)
    for seed in seeds:
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        train, test = order[:n_train], order[n_train:]
        old = tune_head(x, y_old, zeros, zeros, 0.0)
        for row, gamma in zip(results, gammas):
            head = tune_head(x[train], y_new[train], old, old, gamma)
            kept = accuracy(head, x[test], y_old[test])
            row.append([kept, accuracy(head, x[test], y_new[test])])
    return results
