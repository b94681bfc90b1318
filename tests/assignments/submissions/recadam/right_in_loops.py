"""All right, in plain loops, with torch's own Adam inside."""

LOSES: dict[str, str] = {}


# %% target_weights
def target_weights(n_epochs, batches_per_epoch, k, t0):
    weights = []
    for t in range(1, n_epochs * batches_per_epoch + 1):
        z = k * (t - t0)
        weights.append(1 / (1 + math.exp(-z)) if z > 0 else math.exp(z) / (1 + math.exp(z)))
    return weights


# %% recadam_step
def recadam_step(
    weight, old, grad, m, v, t, lr, target_weight, gamma, betas=(0.9, 0.999), eps=1e-6
):
    weight, m, v = weight.clone(), m.clone(), v.clone()
    for i in range(weight.numel()):
        g = float(grad.view(-1)[i])
        m.view(-1)[i] = betas[0] * float(m.view(-1)[i]) + (1 - betas[0]) * g
        v.view(-1)[i] = betas[1] * float(v.view(-1)[i]) + (1 - betas[1]) * g * g
        w = float(weight.view(-1)[i])
        step = lr * (1 - betas[1] ** t) ** 0.5 / (1 - betas[0] ** t)
        w -= target_weight * step * float(m.view(-1)[i]) / (float(v.view(-1)[i]) ** 0.5 + eps)
        w -= lr * gamma * (1 - target_weight) * (w - float(old.view(-1)[i]))
        weight.view(-1)[i] = w
    return weight, m, v


# %% recadam_model_step
def recadam_model_step(weights, old, grads, averages, t, lr, target_weight, gamma):
    new_weights, new_averages = {}, {}
    for name, w in weights.items():
        m, v = averages[name]
        if name in old:
            if list(old[name].shape) != list(w.shape):
                raise ValueError("the shape of " + name + " has changed")
            w, m, v = recadam_step(w, old[name], grads[name], m, v, t, lr, target_weight, gamma)
        else:
            w, m, v = recadam_step(w, w, grads[name], m, v, t, lr, 1.0, 0.0)
        new_weights[name] = w
        new_averages[name] = [m, v]
    return new_weights, new_averages


# %% recall_path
def recall_path(distance, lr, gamma, n_steps):
    path = []
    while len(path) < n_steps:
        distance = distance - lr * gamma * distance
        path.append(distance)
    return path


def is_stable(lr, gamma):
    return abs(recall_path(1.0, lr, gamma, 1)[0]) < 0.999999999


# %% mended_run
def mended_run(start, target, lr, gamma, n_steps):
    weight = start.clone().requires_grad_(True)
    old = start.clone()
    distances = []
    for _ in range(n_steps):
        weight.grad = None
        loss = ((weight - target) ** 2).sum() / 2
        loss.backward()
        with torch.no_grad():
            weight -= lr * (weight.grad + gamma * (weight - old))
            distances.append(math.sqrt(float(((weight - old) ** 2).sum())))
    return weight.detach(), distances


# %% forgetting_study
def forgetting_study(x, y_old, y_new, gammas, seeds, n_train):
    results = []
    for gamma in gammas:
        results.append([])
        for seed in seeds:
            g = torch.Generator()
            g.manual_seed(seed)
            order = torch.randperm(len(x), generator=g).tolist()
            train, test = order[:n_train], order[n_train:]
            head = torch.zeros(x.shape[1], int(y_old.max()) + 1)
            head = tune_head(x[train], y_old[train], head, head, 0.0)
            head = tune_head(x[train], y_new[train], head, head, gamma)
            results[-1].append([accuracy(head, x[test], y[test]) for y in (y_old, y_new)])
    return results
