"""Usage: python test_operator.py libattn_torch.so. Compares with PyTorch; asks gradcheck, opcheck and torch.compile."""

import math
import sys

import torch

import attn_torch

attention = attn_torch.load(sys.argv[1])
devices = ["cpu"]
try:
    attention(*(torch.ones(1, 1, 1, 1, device="cuda"),) * 3)
    devices.append("cuda")
except Exception as fault:
    print("hosts alone:", str(fault).splitlines()[0])


def reference(q, k, v):
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
    return torch.relu(scores) ** 2 / k.shape[2] @ v


def inputs(device, dtype, layout):
    """(B, H, N, D) in three layouts: dense, heads beside each other as a projection writes them, and cut out."""
    torch.manual_seed(1)
    if layout == "dense":
        x = [torch.randn(2, 3, n, d) for n, d in ((5, 8), (7, 8), (7, 6))]
        return [y.to(device, dtype).requires_grad_() for y in x]
    tokens = torch.randn(2, 11, 3, 3, 8, device=device, dtype=dtype, requires_grad=True)
    q, k, v = tokens.permute(2, 0, 3, 1, 4)  # views: token by token, heads within
    return [q, k, v] if layout == "tokens" else [q[:, :, 1:6], k[:, :, ::2], v[:, :, ::2, 2:]]


for device in devices:
    for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 1e-5), (torch.bfloat16, 3e-2)):
        for layout in ("dense", "tokens", "cut"):
            x = inputs(device, dtype, layout)
            exact = [y.detach().double().requires_grad_() for y in x]
            out, expected = attention(*x), reference(*exact)
            d_out = torch.randn(expected.shape, device=device).to(dtype)
            gradients = torch.autograd.grad(out, x, d_out)
            expected_gradients = torch.autograd.grad(expected, exact, d_out.double())
            for mine, theirs in zip((out, *gradients), (expected, *expected_gradients)):
                error = (mine.double() - theirs).abs().max() / theirs.abs().max()
                assert mine.dtype == dtype and mine.shape == theirs.shape and error < tolerance, (dtype, layout, error)
    for layout in ("dense", "cut"):
        x = inputs(device, torch.float64, layout)
        assert torch.autograd.gradcheck(attention, [y.detach().requires_grad_() for y in x])
    x = inputs(device, torch.float32, "dense")
    torch.library.opcheck(torch.ops.attn_own.attention.default, (*x, 0.3))
    # Tensors are read where they lie, even where all numbers of an expanded one are the same.
    one = torch.randn(1, 1, 1, 8, device=device).expand(2, 3, 9, 8)
    assert torch.allclose(attention(one, one, one), reference(one, one, one), atol=1e-6)
    cut = inputs(device, torch.float32, "cut")
    with torch.autograd.profiler.profile() as profile:
        torch.autograd.grad(attention(*cut), cut, torch.ones(2, 3, 5, 6, device=device))
    calls = {event.name for event in profile.function_events}
    assert "attn_own::attention_backward" in calls and not calls & {"aten::clone", "aten::copy_"}, calls

    compiled = torch.compile(lambda q, k, v: torch.tanh(attention(2 * q, k, v)) + 1, fullgraph=True)
    try:
        out = compiled(*x)
    except Exception as fault:  # no compiler that inductor could use, say
        print("torch.compile with inductor:", str(fault).splitlines()[0])
        compiled = torch.compile(compiled, fullgraph=True, backend="aot_eager")
        out = compiled(*x)
    plain = torch.tanh(attention(2 * x[0], *x[1:])) + 1
    assert torch.allclose(out, plain, atol=1e-6)
    for mine, theirs in zip(torch.autograd.grad(out.sum(), x), torch.autograd.grad(plain.sum(), x)):
        assert torch.allclose(mine, theirs, atol=1e-6)
    try:
        attention(x[0].to(torch.float16), x[1].to(torch.float16), x[2].to(torch.float16))
        raise AssertionError("float16 was taken")
    except RuntimeError as error:
        assert "float32, float64 or bfloat16" in str(error), error
    try:
        attention(x[0], x[1][..., :4], x[2])
        raise AssertionError("shapes that do not fit were taken")
    except RuntimeError as error:
        assert "attention" in str(error), error
print("attention of PyTorch:", ", ".join(devices), "passed")
