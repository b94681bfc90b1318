"""The last epoch is taken, whatever validation says."""

LOSES = {"test_selection_study": "the last epoch is taken"}


# %% selection_study
def selection_study(x, y, seeds, n_train, n_valid, n_epochs):
    results = []
    for seed in seeds:
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        train, valid, test = order.split([n_train, n_valid, len(x) - n_train - n_valid])
        heads = head_path(x[train], y[train], int(y.max()) + 1, n_epochs)
        on_valid, on_test = (
            [accuracy(head, x[rows], y[rows]) for head in heads] for rows in (valid, test)
        )
        chosen = on_valid.index(max(on_valid))
        results.append((on_test[-1], max(on_test)))
    return results
