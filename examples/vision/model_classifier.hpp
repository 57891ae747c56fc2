/// ModelClassifier: a model of attn/models as a `Classifier`. Each family is instantiated in a file of its own.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vision/activations.hpp"
#include "vision/classifier.hpp"

namespace vision {

template <class Model>
class ModelClassifier : public Classifier {
 public:
  /// `units`: what the rows and columns of the attention matrix of each layer are.
  ModelClassifier(attn::nn::Builder const& builder, typename Model::Config const& config,
                  std::vector<std::string> units)
      : model_(builder, config), units_(std::move(units)) {}

  attn::nn::LossValue<Context> train(Context& ctx, Images images, Lesson const& lesson,
                                     std::vector<AttentionNorms>* norms) const override {
    if constexpr (may_be_distilled) {
      if (model_.config().distilled && lesson.has_teacher()) {
        auto [logits, tape] = model_.forward_heads(ctx, images);
        note_norms(ctx, tape, norms);
        auto const [loss, d_logits] = learn(ctx, {logits[0], logits[1]}, lesson);
        model_.backward_heads(ctx, std::move(tape), {d_logits[0], d_logits[1]});
        return loss;
      }
    }
    auto [logits, tape] = model_.forward(ctx, images);
    note_norms(ctx, tape, norms);
    auto const [loss, d_logits] = learn(ctx, {logits}, lesson);
    model_.backward(ctx, std::move(tape), d_logits.front());
    return loss;
  }

  Logits logits(Context& ctx, Images images) const override { return model_.forward(ctx, images).value; }

  std::vector<Logits> heads(Context& ctx, Images images) const override {
    if constexpr (may_be_distilled) {
      if (model_.config().distilled) {
        auto const logits = model_.forward_heads(ctx, images).value;
        return {logits[0], logits[1]};
      }
    }
    return {logits(ctx, images)};
  }

  std::vector<AttentionMaps> attention(Context& ctx, Images images) const override {
    ctx.keep_tape = true;
    auto const tape = model_.forward(ctx, images).tape;
    ctx.keep_tape = false;
    std::vector<AttentionMaps> layers;
    for (std::size_t layer = 0; layer < attention_layers(); ++layer) {
      auto const weights = model_.attention_weights(ctx, tape, attn::Index(layer), 0);
      AttentionMaps& maps = layers.emplace_back(
          AttentionMaps{.heads = weights.extent(0), .rows = weights.extent(1), .columns = weights.extent(2)});
      maps.unit = units_[layer];
      maps.weights.resize(static_cast<std::size_t>(weights.size()));
      Kokkos::View<float*, Kokkos::HostSpace> const host(maps.weights.data(), maps.weights.size());
      Kokkos::deep_copy(ctx.exec, host, weights.template reshape<1>({weights.size()}).view());
      ctx.exec.fence();
    }
    return layers;
  }

  std::size_t attention_layers() const override { return units_.size(); }

  std::vector<std::vector<std::string>> layers() const override { return model_.layers(); }

 private:
  static constexpr bool may_be_distilled = requires(Model const& model) { model.config().distilled; };

  template <class Tape>
  void note_norms(Context& ctx, Tape const& tape, std::vector<AttentionNorms>* norms) const {
    if (norms != nullptr) *norms = model_.attention_norms(ctx, tape);
  }

  Model model_;
  std::vector<std::string> units_;
};

}  // namespace vision
