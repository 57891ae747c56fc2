// Full attention with numbers of two bytes between the layers.
#include "lra/model_of.hpp"

std::unique_ptr<lra::SequenceModel> lra::make_narrow(Context& ctx,
                                                     attn::models::SequenceClassifier<FullCore>::Config const& config,
                                                     std::string const& precision) {
  if (precision == "bf16") return std::make_unique<ModelOf<FullCore, attn::BFloat16>>(ctx, config);
  return std::make_unique<ModelOf<FullCore, attn::Float16>>(ctx, config);
}
