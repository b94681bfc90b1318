"""Every arm draws rows of its own."""

LOSES = {"test_frozen_study": "the arms see different rows"}


# %% frozen_study
def frozen_study(features, labels, seeds, n_train):
    results = {arm: [] for arm in features}
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        for arm, x in features.items():
            order = torch.randperm(len(labels), generator=generator)
            train, test = order[:n_train], order[n_train:]
            mean, std = x[train].mean(dim=0), x[train].std(dim=0) + 1e-6
            head = train_head((x[train] - mean) / std, labels[train], int(labels.max()) + 1)
            results[arm].append(accuracy(head, (x[test] - mean) / std, labels[test]))
    return results
