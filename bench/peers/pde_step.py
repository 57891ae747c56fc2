"""The evaluation that bench/pde_step.cpp times, in PyTorch: loss and gradient of a PINNsFormer on convection, 51 x 51
points and their edges, derivatives by autograd.grad of the summed outputs.
"""

import pathlib
import sys

import peer  # first, because it says what to install
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"))
import make_pinnsformer as network  # noqa: E402

network.POINTS_X = network.POINTS_T = 51
TOKENS = 5 * (3 * 51 * 51 + 3 * 51)
LINEAR = 64 + 2 * (4 * 32**2 + 2 * 32 * 256 + 256**2) + 32 * 512 + 512**2 + 512

a = peer.parse(__doc__, lambda parser: parser.add_argument("--device", default="cpu", help="of PyTorch"))
torch.set_default_device(a.device)
peak = peer.gemm(4096, 512, 512, a.min_time)
for activation in ("softmax", "poly3"):
    model = network.PinnsFormer(width=32, heads=2, hidden=256, head_hidden=512, activation=activation)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.xavier_uniform_(parameter)

    def step(model=model):
        model.zero_grad()
        network.loss_terms(model, "convection")[0].sum().backward()
        peer.wait()

    seconds = peer.measure(step, a.min_time)
    for name in (activation, activation + "/column"):
        peer.report(f"pde_step/{name}", seconds, 6 * TOKENS * LINEAR, peak)
