/// SequenceModel: a classifier of sequences whose attention and activation are chosen when the program runs.
#pragma once

#include "attn/models/sequence_classifier.hpp"
#include "attn/nn/loss.hpp"

#include <memory>
#include <string>

namespace lra {

using Context = attn::nn::Context<Kokkos::DefaultExecutionSpace>;
using Memory = Context::MemorySpace;
using Sequences = attn::nn::PackedSequences<Memory>;
using Ids = attn::Tensor<int const, 1, Memory>;
using Labels = attn::Tensor<std::int32_t const, 1, Memory>;
using Logits = attn::nn::TensorOf<Context, 2>;

/// The model without its types, which the rest of the program need not compile.
class SequenceModel {
 public:
  virtual ~SequenceModel() = default;

  /// Adds the gradients of the mean cross-entropy to those of `ctx`.
  virtual attn::nn::LossValue<Context> train(Context& ctx, Sequences const& sequences, Ids ids,
                                             Labels labels) const = 0;
  virtual Logits logits(Context& ctx, Sequences const& sequences, Ids ids) const = 0;
};

/// Everything about the model but its types.
struct ModelSettings {
  std::string activation = "softmax";
  int power = 3;
  std::string scale = "none";
  std::string attention = "nystrom";
  std::string factors = "all";  // which of the three the activation replaces; the others keep softmax
  attn::Index landmarks = 64;
  attn::Index taps = 35;
  int inverse_iterations = 6;
  std::string inverse_start = "auto";
  bool scale_per_head = false;
  attn::Index width = 64;
  attn::Index heads = 2;
  attn::Index depth = 2;
  attn::Index hidden = 128;
  double dropout = 0.1;
  double attention_dropout = 0;    // of full attention
  std::string precision = "fp32";  // of numbers between layers

  bool is_poly() const { return activation == "poly"; }
  /// "softmax", "x³", "x³ fixed", ...
  std::string name() const;
};

/// What the data say about the model.
struct TaskSizes {
  attn::Index vocabulary = 0;
  attn::Index positions = 0;
  attn::Index length = 0;
  attn::Index classes = 0;
  bool pairs = false;
};

/// Registers the parameters of a model in `ctx`. Throws `attn::Error` where the sizes do not fit.
std::unique_ptr<SequenceModel> make_model(Context& ctx, ModelSettings const& settings, TaskSizes const& sizes);

}  // namespace lra
