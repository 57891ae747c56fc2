"""Golden data of L-BFGS with a strong-Wolfe line search: iterates on Rosenbrock's function and on a small network.

Run: python make_lbfgs.py [--check]
"""

import torch

import golden


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def network(x, inputs, targets):
    """2 -> 6 -> 6 -> 1 with tanh; x holds the weights and biases one after the other, row by row."""
    at, y = 0, inputs
    for rows, columns in ((6, 2), (6, 6), (1, 6)):
        weight = x[at : at + rows * columns].view(rows, columns)
        bias = x[at + rows * columns : at + rows * columns + rows]
        at += rows * columns + rows
        y = y @ weight.T + bias
        if rows > 1:
            y = torch.tanh(y)
    return ((y[:, 0] - targets) ** 2).mean()


def iterates(loss, start, steps, **options):
    x = start.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([x], line_search_fn="strong_wolfe", **options)

    def closure():
        optimizer.zero_grad()
        value = loss(x)
        value.backward()
        return value

    trace, losses, evaluations = [], [], []
    for _ in range(steps):
        losses.append(float(optimizer.step(closure).detach()))
        trace.append(x.detach().clone())
        evaluations.append(optimizer.state[x]["func_evals"])
    return torch.stack(trace), torch.tensor(losses), torch.tensor(evaluations)


def main():
    store = golden.Store("lbfgs", __doc__)
    normal = golden.Normal(11)
    inputs = normal(24, 2)
    targets = (torch.sin(2 * inputs[:, 0]) * inputs[:, 1]).float().double()
    weights = normal(67, deviation=0.5)
    store.array("network_inputs", inputs)
    store.array("network_targets", targets)
    problems = {
        "rosenbrock": (rosenbrock, torch.tensor([-1.2, 1.0]).float().double()),
        "valley": (rosenbrock, torch.tensor([-1.2, 1.0, -0.5, 0.75, 1.5]).float().double()),
        "network": (lambda x: network(x, inputs, targets), weights),
    }
    for name, (loss, start) in problems.items():
        store.array(f"{name}_start", start)
        # one iteration a step, so that every iterate is seen; then whole steps with a short history
        cases = {"single": (50, dict(max_iter=1, max_eval=25)), "steps": (4, dict(max_iter=12, history_size=4))}
        for case, (steps, options) in cases.items():
            trace, losses, evaluations = iterates(loss, start, steps, **options)
            store.array(f"{name}_{case}_iterates", trace)
            store.array(f"{name}_{case}_losses", losses)
            store.array(f"{name}_{case}_evaluations", evaluations)
            print(name, case, "last loss", float(losses[-1]), "evaluations", int(evaluations[-1]))
    store.close()


if __name__ == "__main__":
    main()
