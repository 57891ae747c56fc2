"""Golden data of what attends in Swin and XCiT: timm's windowed and cross-covariance attention, forward and backward.

Windows are those of a SwinTransformerBlock without its norms and MLP (its `_attn`: cyclic shift, padding, windows, mask
of regions, and back). timm hides pixels of other regions by a bias of -100, which leaves weights of e^-100 = 4e-44: zero
in the precision of the files.
Run: python make_cores.py [--check]
"""

import torch
from timm.models.swin_transformer import SwinTransformerBlock
from timm.models.xcit import XCA

import golden

HEADS, WIDTH = 2, 6


def set_parameters(module, normal):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(normal(*parameter.shape, deviation=0.5))


def case(store, name, module, function, x, normal):
    """Input, parameters, output, and for the loss sum_i r_i y_i the gradients of the input and of all parameters."""
    set_parameters(module, normal)
    x = x.clone().requires_grad_()
    y = function(x)
    r = normal(*y.shape)
    (y * r).sum().backward()
    store.array(f"{name}_x", x)
    store.array(f"{name}_y", y)
    store.array(f"{name}_d_y", r)
    store.array(f"{name}_d_x", x.grad)
    store.named(f"{name}_parameters", dict(module.named_parameters()))
    store.named(f"{name}_gradients", {key: p.grad for key, p in module.named_parameters()})


def window_case(store, name, batch, height, width, window, shift, normal):
    block = SwinTransformerBlock(dim=WIDTH, input_resolution=(height, width), num_heads=HEADS, window_size=window,
                                 shift_size=shift, always_partition=True, dynamic_mask=True).double()
    case(store, name, block.attn, block._attn, normal(batch, height, width, WIDTH), normal)


def main():
    store = golden.Store("cores", __doc__)
    normal = golden.Normal(41)
    window_case(store, "windows", 2, 4, 6, 2, 0, normal)
    window_case(store, "windows_shifted", 2, 6, 9, 3, 1, normal)
    window_case(store, "windows_padded", 1, 5, 7, 3, 1, normal)
    window_case(store, "windows_oblong", 1, 4, 9, (2, 3), (1, 1), normal)
    case(store, "xca", xca := XCA(WIDTH, num_heads=HEADS, qkv_bias=True).double(), xca, normal(2, 7, WIDTH), normal)
    store.close()


if __name__ == "__main__":
    main()
