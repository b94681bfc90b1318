"""Mean and standard deviation of all rows: the test leaks into the training."""

LOSES = {"test_frozen_study_2": "a leak"}


# %% frozen_study
def frozen_study(features, labels, seeds, n_train):
    results = {arm: [] for arm in features}
    for seed in seeds:
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        train, test = order[:n_train], order[n_train:]
        for arm, x in features.items():
            x = (x - x.mean(dim=0)) / (x.std(dim=0) + 1e-6)
            head = train_head(x[train], labels[train], int(labels.max()) + 1)
            results[arm].append(accuracy(head, x[test], labels[test]))
    return results
