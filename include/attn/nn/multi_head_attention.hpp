/// MultiHeadAttention and PackedAttention: full attention in the layouts of timm and of PyTorch.
#pragma once

#include "attn/nn/attention.hpp"

namespace attn::nn {

/// Self-attention. Parameters, in timm's layout: qkv.weight (3 width, width) whose outputs are (3, heads, width /
/// heads), qkv.bias, proj.weight (width, width), proj.bias; for a `LearnableActivation` also `activation.<name>`, (1)
/// or (heads). With `AttentionDropout` as `Dropped`, training drops weights at the rate `Config::attention_dropout`.
template <class A, Mask M = Full, class Dropped = NoDropout>
using MultiHeadAttention = Attention<FusedQkv, FullAttention<A, M, Dropped>>;

/// Self-attention. Parameters in the layout of PyTorch's MultiheadAttention: in_proj_weight (3 width, width), whose
/// rows make q, k and v; in_proj_bias; out_proj.weight, out_proj.bias; for a `LearnableActivation` also
/// `activation.<name>`.
template <class A, Mask M = Full, class Dropped = NoDropout>
using PackedAttention = Attention<PackedProjections, FullAttention<A, M, Dropped>>;

}  // namespace attn::nn
