// The one file in which the model is compiled: for activations that are chosen when the program runs.
#include "vision/classifier.hpp"

#include "power_name.hpp"

namespace vision {
namespace {

class VitClassifier : public Classifier {
 public:
  VitClassifier(Context& ctx, Sizes const& sizes) : model_(ctx, sizes) {}

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
      Kokkos::deep_copy(ctx.exec, host, weights.reshape<1>({weights.size()}).view());
      ctx.exec.fence();
    }
    return layers;
  }

  attn::Index tokens() const override { return model_.tokens(); }

 private:
  attn::models::Vit<attn::models::VitBlock<Activation>> model_;
};

}  // namespace

std::string ActivationChoice::name() const {
  if (!is_poly()) return activation;
  return power_name(power) + (scale == "none" ? "" : " " + scale);
}

std::unique_ptr<Classifier> make_classifier(Context& ctx, ActivationChoice const& choice, Sizes const& sizes) {
  Sizes config = sizes;
  config.activation = activations().make(choice.activation, {choice.power, choice.scale, choice.factor});
  return std::make_unique<VitClassifier>(ctx, config);
}

}  // namespace vision
