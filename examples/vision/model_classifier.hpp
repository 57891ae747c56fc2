/// ModelClassifier: a model of attn/models as a `Classifier`. Each family is instantiated in files of its own.
#pragma once

#include "attn/nn/precision.hpp"

#include <concepts>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "vision/activations.hpp"
#include "vision/classifier.hpp"

namespace vision {

/// The model in fp32. Members are defined outside of the class, so that whoever sees `extern template` of it does not
/// compile them again.
template <class Model>
class ModelClassifier : public Classifier {
 public:
  /// `units`: what the rows and columns of the attention matrix of each layer are.
  ModelClassifier(attn::nn::Builder const& builder, typename Model::Config const& config,
                  std::vector<std::string> units);

  attn::nn::LossValue<Context> train(Context& ctx, Images images, Lesson const& lesson,
                                     std::vector<AttentionNorms>* norms) const override;
  Logits logits(Context& ctx, Images images) const override;
  std::vector<Logits> heads(Context& ctx, Images images) const override;
  std::vector<AttentionMaps> attention(Context& ctx, Images images) const override;
  std::size_t attention_layers() const override;
  std::vector<std::vector<std::string>> layers() const override;

 protected:
  // The same with numbers of T between the layers of the model; losses are computed in fp32.

  template <class T>
  attn::nn::LossValue<Context> train_in(Context& ctx, Images images, Lesson const& lesson,
                                        std::vector<AttentionNorms>* norms) const {
    In<T> typed(ctx);
    auto const x = attn::nn::converted<T>(ctx, images);
    if constexpr (may_be_distilled) {
      if (model_.config().distilled && lesson.has_teacher()) {
        auto [logits, tape] = model_.forward_heads(typed, x);
        if (norms != nullptr) *norms = model_.attention_norms(typed, tape);
        auto const [loss, d_logits] = learn(ctx, {as<float>(ctx, logits[0]), as<float>(ctx, logits[1])}, lesson);
        model_.backward_heads(typed, std::move(tape), {as<T>(ctx, d_logits[0]), as<T>(ctx, d_logits[1])});
        return loss;
      }
    }
    auto [logits, tape] = model_.forward(typed, x);
    if (norms != nullptr) *norms = model_.attention_norms(typed, tape);
    auto const [loss, d_logits] = learn(ctx, {as<float>(ctx, logits)}, lesson);
    model_.backward(typed, std::move(tape), as<T>(ctx, d_logits.front()));
    return loss;
  }

  template <class T>
  Logits logits_in(Context& ctx, Images images) const {
    In<T> typed(ctx);
    return as<float>(ctx, model_.forward(typed, attn::nn::converted<T>(ctx, images)).value);
  }

  template <class T>
  std::vector<Logits> heads_in(Context& ctx, Images images) const {
    if constexpr (may_be_distilled) {
      if (model_.config().distilled) {
        In<T> typed(ctx);
        auto const logits = model_.forward_heads(typed, attn::nn::converted<T>(ctx, images)).value;
        return {as<float>(ctx, logits[0]), as<float>(ctx, logits[1])};
      }
    }
    return {logits(ctx, images)};
  }

 private:
  static constexpr bool may_be_distilled = requires(Model const& model) { model.config().distilled; };

  template <class T>
  using In = attn::nn::ContextIn<Context, T>;

  /// Logits, or their gradients, in another scalar.
  template <class T, class S>
  static attn::nn::TensorOf<attn::nn::Context<Context::Space, T>, 2> as(
      Context& ctx, attn::Tensor<S, 2, Context::MemorySpace> const& logits) {
    if constexpr (std::same_as<S, T>) {
      return logits;
    } else {
      auto const copy = ctx.tensor<T>(logits.extents());
      attn::linalg::convert(ctx.exec, logits, copy);
      return copy;
    }
  }

  Model model_;
  std::vector<std::string> units_;
};

/// The model in bf16: training and logits; attention is drawn in fp32.
template <class Model>
class NarrowClassifier : public ModelClassifier<Model> {
 public:
  using ModelClassifier<Model>::ModelClassifier;

  attn::nn::LossValue<Context> train(Context& ctx, Images images, Lesson const& lesson,
                                     std::vector<AttentionNorms>* norms) const override;
  Logits logits(Context& ctx, Images images) const override;
  std::vector<Logits> heads(Context& ctx, Images images) const override;
};

/// The classifier in the precision that the sizes say.
template <class Model>
std::unique_ptr<Classifier> make_model(attn::nn::Builder const& builder, typename Model::Config const& config,
                                       Sizes const& sizes, std::vector<std::string> units) {
  if (sizes.bf16) return std::make_unique<NarrowClassifier<Model>>(builder, config, std::move(units));
  return std::make_unique<ModelClassifier<Model>>(builder, config, std::move(units));
}

template <class Model>
ModelClassifier<Model>::ModelClassifier(attn::nn::Builder const& builder, typename Model::Config const& config,
                                        std::vector<std::string> units)
    : model_(builder, config), units_(std::move(units)) {}

template <class Model>
attn::nn::LossValue<Context> ModelClassifier<Model>::train(Context& ctx, Images images, Lesson const& lesson,
                                                           std::vector<AttentionNorms>* norms) const {
  return train_in<float>(ctx, images, lesson, norms);
}

template <class Model>
Logits ModelClassifier<Model>::logits(Context& ctx, Images images) const {
  return logits_in<float>(ctx, images);
}

template <class Model>
std::vector<Logits> ModelClassifier<Model>::heads(Context& ctx, Images images) const {
  return heads_in<float>(ctx, images);
}

template <class Model>
std::vector<AttentionMaps> ModelClassifier<Model>::attention(Context& ctx, Images images) const {
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

template <class Model>
std::size_t ModelClassifier<Model>::attention_layers() const {
  return units_.size();
}

template <class Model>
std::vector<std::vector<std::string>> ModelClassifier<Model>::layers() const {
  return model_.layers();
}

template <class Model>
attn::nn::LossValue<Context> NarrowClassifier<Model>::train(Context& ctx, Images images, Lesson const& lesson,
                                                            std::vector<AttentionNorms>* norms) const {
  return this->template train_in<attn::BFloat16>(ctx, images, lesson, norms);
}

template <class Model>
Logits NarrowClassifier<Model>::logits(Context& ctx, Images images) const {
  return this->template logits_in<attn::BFloat16>(ctx, images);
}

template <class Model>
std::vector<Logits> NarrowClassifier<Model>::heads(Context& ctx, Images images) const {
  return this->template heads_in<attn::BFloat16>(ctx, images);
}

}  // namespace vision
