"""Gradients are never set back."""

LOSES = {"test_mended_run": "set them back"}


# %% mended_run
def mended_run(start, target, lr, gamma, n_steps):
    weight, distances = start.clone().requires_grad_(True), []
    for _ in range(n_steps):
        (((weight - target) ** 2).sum() / 2).backward()
        with torch.no_grad():
            weight -= lr * (weight.grad + gamma * (weight - start))
            distances.append(float((weight - start).norm()))
    return weight.detach(), distances
