"""The operator of operator.cpp for PyTorch: attention = attn_torch.load("build-torch/libattn_torch.so")."""

import math

import torch


def load(library):
    """attention(q, k, v, score_scale=None) with the activation that was compiled: differentiable, and torch.compile
    takes it into its graphs. q (B, H, N, D), k (B, H, M, D), v (B, H, M, E) -> (B, H, N, E)."""
    torch.ops.load_library(library)
    ops = torch.ops.attn_own

    @torch.library.register_fake("attn_own::attention")
    def _(q, k, v, score_scale):
        rows = q.shape[:3]
        saved = q.new_empty(*rows, ops.row_bytes(q.dtype, q.is_cuda), dtype=torch.uint8)
        return q.new_empty(*rows, v.shape[3]), saved

    @torch.library.register_fake("attn_own::attention_backward")
    def _(d_out, q, k, v, out, saved, score_scale):
        return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)

    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:3], *output)
        ctx.score_scale = inputs[3]
        ctx.mark_non_differentiable(output[1])

    def backward(ctx, d_out, _):
        return *ops.attention_backward(d_out, *ctx.saved_tensors, ctx.score_scale), None

    torch.library.register_autograd("attn_own::attention", backward, setup_context=setup_context)

    def attention(q, k, v, score_scale=None):
        scale = 1 / math.sqrt(q.shape[3]) if score_scale is None else score_scale
        return ops.attention(q, k, v, scale)[0]

    return attention
