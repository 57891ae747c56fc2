/// Deit: a distilled vision transformer, which gives the logits of both of its heads.
#pragma once

#include "attn/models/vit.hpp"

#include <tuple>

namespace attn::models {

/// Of a distilled model, (B, classes) each: those of the class token, which learns labels, and those of the token for
/// distillation, which learns what a teacher says. Also their gradients.
template <class T, class Memory = Kokkos::DefaultExecutionSpace::memory_space>
struct DistilledLogits {
  Tensor<T, 2, Memory> of_labels, of_teacher;
  static constexpr auto tensors = std::tuple(&DistilledLogits::of_labels, &DistilledLogits::of_teacher);
};

/// Images (B, channels, height, width) -> `DistilledLogits`. Touvron et al. 2021, "Training data-efficient image
/// transformers & distillation through attention"; timm's `VisionTransformerDistilled`. It is a `Vit` with
/// `.distilled = true`, and has its parameters; whose forward pass gives the mean of both, what predictions are.
template <class Block>
class Deit {
 public:
  using Config = typename Vit<Block>::Config;

  template <class Ctx>
  using Logits = DistilledLogits<typename Ctx::Scalar, typename Ctx::MemorySpace>;

  Deit(nn::Builder const& builder, Config config) : vit_(builder, distilled(std::move(config))) {}

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& images) const {
    auto [logits, tape] = vit_.forward_heads(ctx, images);
    return nn::Forward<Logits<Ctx>, decltype(tape)>{{logits[0], logits[1]}, std::move(tape)};
  }

  /// Adds the gradients of all parameters.
  template <class Ctx, class Tape>
  void backward(Ctx& ctx, Tape&& tape, Logits<Ctx> const& d_logits) const {
    vit_.backward_heads(ctx, std::move(tape), {d_logits.of_labels, d_logits.of_teacher});
  }

  /// For predictions, norms and maps of attention, and layers.
  Vit<Block> const& vit() const { return vit_; }

 private:
  static Config distilled(Config config) {
    config.distilled = true;
    return config;
  }

  Vit<Block> vit_;
};

}  // namespace attn::models
