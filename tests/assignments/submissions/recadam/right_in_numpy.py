"""All right, computed with numpy and plain numbers."""

LOSES: dict[str, str] = {}

# %% target_weights
import numpy as np


def target_weights(n_epochs, batches_per_epoch, k, t0):
    t = np.arange(n_epochs * batches_per_epoch) + 1
    return (
        0.5 * (1 + np.tanh(k * (t - t0) / 2)) if k * t0 < 30 else [careful(k * (s - t0)) for s in t]
    )


def careful(z):
    return 1 / (1 + np.exp(-z)) if z > -600 else 0.0


# %% recadam_step
def recadam_step(
    weight, old, grad, m, v, t, lr, target_weight, gamma, betas=(0.9, 0.999), eps=1e-6
):
    b1, b2 = betas
    m, v = torch.lerp(grad, m, b1), torch.lerp(grad * grad, v, b2)
    direction = m / (1 - b1**t) / ((v**0.5 + eps) / (1 - b2**t) ** 0.5)
    learned = weight.clone().sub_(direction, alpha=lr * target_weight)
    return torch.lerp(learned, old, lr * gamma * (1 - target_weight)), m, v


# %% recadam_model_step
def recadam_model_step(weights, old, grads, averages, t, lr, target_weight, gamma):
    for name in old.keys() & weights.keys():
        if old[name].shape != weights[name].shape:
            raise ValueError(f"shape of {name}")
    out = {}
    for name in weights:
        known = name in old
        out[name] = recadam_step(
            weights[name],
            old[name] if known else torch.zeros_like(weights[name]),
            grads[name],
            *averages[name],
            t,
            lr,
            target_weight if known else 1.0,
            gamma if known else 0.0,
        )
    return {n: o[0] for n, o in out.items()}, {n: o[1:] for n, o in out.items()}


# %% recall_path
def recall_path(distance, lr, gamma, n_steps):
    return np.cumprod(np.full(n_steps, 1 - lr * gamma)) * distance if n_steps else []


def is_stable(lr, gamma):
    return bool(abs(1 - lr * gamma) < 1 - 1e-12)


# %% mended_run
def mended_run(start, target, lr, gamma, n_steps):
    weight = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.SGD([weight], lr=lr)
    distances = []
    for _ in range(n_steps):
        optimizer.zero_grad()
        (((weight - target) ** 2).sum() / 2 + gamma / 2 * ((weight - start) ** 2).sum()).backward()
        optimizer.step()
        distances.append(torch.dist(weight, start).item())
    return weight, distances


# %% forgetting_study
def forgetting_study(x, y_old, y_new, gammas, seeds, n_train):
    def run(gamma, seed):
        rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        a, b = rows[:n_train], rows[n_train:]
        zeros = torch.zeros(x.shape[1], len(y_old.unique()))
        first = tune_head(x[a], y_old[a], zeros, zeros, 0)
        second = tune_head(x[a], y_new[a], first, first, gamma)
        return accuracy(second, x[b], y_old[b]), accuracy(second, x[b], y_new[b])

    return [[run(gamma, seed) for seed in seeds] for gamma in gammas]
