/// Classifier: a vision transformer whose activation is chosen when the program runs.
#pragma once

#include "attn/models/vit.hpp"
#include "attn/nn/loss.hpp"

#include <memory>
#include <string>
#include <vector>

#include "vision/activations.hpp"

namespace vision {

using Context = attn::nn::Context<Kokkos::DefaultExecutionSpace>;
using Images = attn::nn::ConstTensorOf<Context, 4>;   // (B, channels, height, width)
using Targets = attn::nn::ConstTensorOf<Context, 2>;  // (B, classes)
using Logits = attn::nn::TensorOf<Context, 2>;        // (B, classes)

/// Norms of the attention matrix of one layer, averaged over samples and heads.
struct AttentionNorms {
  double frobenius = 0;
  double jacobian = 0;
};

/// What one image's attention looks like in one layer: (heads, tokens, tokens), query by key.
using AttentionMaps = std::vector<float>;

/// The model without its types, which the rest of the program need not compile.
class Classifier {
 public:
  virtual ~Classifier() = default;

  /// Adds the gradients of the mean cross-entropy to those of `ctx`. Fills `norms`, a layer each, unless it is null.
  virtual attn::nn::LossValue<Context> train(Context& ctx, Images images, Targets targets,
                                             std::vector<AttentionNorms>* norms) const = 0;
  virtual Logits logits(Context& ctx, Images images) const = 0;

  /// The attention of the first of some images, layer by layer.
  virtual std::vector<AttentionMaps> attention(Context& ctx, Images images) const = 0;

  virtual attn::Index tokens() const = 0;
};

/// What --activation, --power and --scale say.
struct ActivationChoice {
  std::string activation = "softmax";
  int power = 3;
  std::string scale = "none";
  double factor = 0;  // the number of a fixed scale; 0: 1/sqrt(tokens)

  bool is_poly() const { return activation == "poly"; }
  /// "softmax", "x³", "x³ fixed", ...
  std::string name() const;
};

/// Everything about the model but its activation.
using Sizes = attn::models::VitConfig<Activation>;

/// Registers the parameters of a model in `ctx`. Throws `attn::Error` where the sizes do not fit.
std::unique_ptr<Classifier> make_classifier(Context& ctx, ActivationChoice const& choice, Sizes const& sizes);

}  // namespace vision
