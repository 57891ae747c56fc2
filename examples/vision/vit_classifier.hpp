/// VitClassifier: the classifier with its types. Instantiated once for each activation, in the files beside.
#pragma once

#include "attn/activation/activation.hpp"

#include "vision/classifier.hpp"

namespace vision {

template <class Activation>
class VitClassifier : public Classifier {
 public:
  VitClassifier(Context& ctx, attn::models::VitConfig<Activation> const& config) : model_(ctx, config) {}

  attn::nn::LossValue<Context> train(Context& ctx, Images images, Targets targets,
                                     std::vector<AttentionNorms>* norms) const override {
    auto [logits, tape] = model_.forward(ctx, images);
    if (norms != nullptr) {
      norms->clear();
      for (auto const& layer : model_.attention_norms(ctx, tape)) norms->push_back({layer.frobenius, layer.jacobian});
    }
    auto [loss, d_logits] = attn::nn::cross_entropy(ctx, logits, targets);
    model_.backward(ctx, std::move(tape), d_logits);
    return loss;
  }

  Logits logits(Context& ctx, Images images) const override { return model_.forward(ctx, images).value; }

  std::vector<AttentionMaps> attention(Context& ctx, Images images) const override {
    ctx.keep_tape = true;
    auto const tape = model_.forward(ctx, images).tape;
    ctx.keep_tape = false;
    std::vector<AttentionMaps> layers;
    for (attn::Index layer = 0; layer < model_.config().depth; ++layer) {
      auto const weights = model_.attention_weights(ctx, tape, layer, 0);
      AttentionMaps& maps = layers.emplace_back(static_cast<std::size_t>(weights.size()));
      Kokkos::View<float*, Kokkos::HostSpace> const host(maps.data(), maps.size());
      Kokkos::deep_copy(ctx.exec, host, weights.template reshape<1>({weights.size()}).view());
      ctx.exec.fence();
    }
    return layers;
  }

  attn::Index tokens() const override { return model_.tokens(); }

 private:
  attn::models::Vit<attn::models::VitBlock<Activation>> model_;
};

template <class Activation>
std::unique_ptr<Classifier> make_vit(Context& ctx, Sizes const& s, Activation const& activation = {}) {
  return std::make_unique<VitClassifier<Activation>>(
      ctx, attn::models::VitConfig<Activation>{.width = s.width,
                                               .depth = s.depth,
                                               .heads = s.heads,
                                               .mlp_ratio = s.mlp_ratio,
                                               .image_height = s.image_height,
                                               .image_width = s.image_width,
                                               .channels = s.channels,
                                               .patch_height = s.patch_height,
                                               .patch_width = s.patch_width,
                                               .classes = s.classes,
                                               .pooled = s.pooled,
                                               .qkv_bias = s.qkv_bias,
                                               .dropout = s.dropout,
                                               .stochastic_depth = s.stochastic_depth,
                                               .epsilon = s.epsilon,
                                               .activation = activation,
                                               .scale_per_head = s.scale_per_head});
}

}  // namespace vision
