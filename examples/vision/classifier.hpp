/// Classifier: a model of images, of any family, whose activation is chosen when the program runs.
#pragma once

#include "attn/models/attention_norms.hpp"

#include <memory>
#include <string>
#include <vector>

#include "vision/lesson.hpp"
#include "vision/sizes.hpp"

namespace vision {

using attn::models::AttentionNorms;

/// What one image's attention looks like in one layer: (heads, rows, columns), query by key.
struct AttentionMaps {
  attn::Index heads = 0, rows = 0, columns = 0;
  std::string unit = "token";  // what rows and columns are
  std::vector<float> weights = {};
};

/// The model without its types, which the rest of the program need not compile.
class Classifier {
 public:
  virtual ~Classifier() = default;

  /// Adds the gradients of the loss to those of `ctx`. Fills `norms`, a layer each, unless it is null.
  virtual attn::nn::LossValue<Context> train(Context& ctx, Images images, Lesson const& lesson,
                                             std::vector<AttentionNorms>* norms) const = 0;

  /// What the model answers: of distilled models the mean of their heads.
  virtual Logits logits(Context& ctx, Images images) const = 0;
  /// The logits of each head: one, or of distilled models that of the class and that of the teacher.
  virtual std::vector<Logits> heads(Context& ctx, Images images) const = 0;

  /// The attention of the first of some images, layer by layer.
  virtual std::vector<AttentionMaps> attention(Context& ctx, Images images) const = 0;
  /// How many layers have attention.
  virtual std::size_t attention_layers() const = 0;

  /// Patterns of the names of each layer's parameters, from the images on: for `attn::nn::set_layer_decay`.
  virtual std::vector<std::vector<std::string>> layers() const = 0;
};

/// What --activation, --power and --scale say.
struct ActivationChoice {
  std::string activation = "softmax";
  int power = 3;
  std::string scale = "none";
  double factor = 0;  // the number of a fixed scale; 0: 1/sqrt(keys)

  bool is_poly() const { return activation == "poly"; }
  /// "softmax", "x³", "x³ fixed", ...
  std::string name() const;
  /// The activation among those of a registry.
  auto make(auto const& registry) const { return registry.make(activation, {power, scale, factor}); }
};

/// Registers what a model of a family keeps. Throws `attn::Error` where the sizes do not fit.
std::unique_ptr<Classifier> make_classifier(attn::nn::Builder const& builder, ActivationChoice const& choice,
                                            Sizes const& sizes);

/// The number of numbers in all parameters, without memory for them.
attn::Index count_parameters(ActivationChoice const& choice, Sizes const& sizes);

}  // namespace vision
