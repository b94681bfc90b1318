"""Accuracy on the rows that the head was trained on."""

LOSES = {"test_frozen_study": "measured on training rows", "test_frozen_study_2": "own order"}


# %% frozen_study
def frozen_study(features, labels, seeds, n_train):
    results = {arm: [] for arm in features}
    for seed in seeds:
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        train = order[:n_train]
        for arm, x in features.items():
            mean, std = x[train].mean(dim=0), x[train].std(dim=0) + 1e-6
            head = train_head((x[train] - mean) / std, labels[train], int(labels.max()) + 1)
            results[arm].append(accuracy(head, (x[train] - mean) / std, labels[train]))
    return results
