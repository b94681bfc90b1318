"""The rows are drawn once, so that seeds change nothing."""

LOSES = {"test_frozen_study_2": "every seed draws others"}


# %% frozen_study
def frozen_study(features, labels, seeds, n_train):
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seeds[0]))
    train, test = order[:n_train], order[n_train:]
    results = {arm: [] for arm in features}
    for _ in seeds:
        for arm, x in features.items():
            mean, std = x[train].mean(dim=0), x[train].std(dim=0) + 1e-6
            head = train_head((x[train] - mean) / std, labels[train], int(labels.max()) + 1)
            results[arm].append(accuracy(head, (x[test] - mean) / std, labels[test]))
    return results
