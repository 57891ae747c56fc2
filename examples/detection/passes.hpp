/// What a `Detector` computes, with numbers of T between its layers: for the files that compile it.
#pragma once

#include "attn/nn/precision.hpp"

#include <concepts>
#include <type_traits>

#include "detection/model.hpp"

namespace train_detection {

namespace passes {

template <class Typed>
attn::models::DetectionImages<Typed> images_in(Typed& typed, Images const& images) {
  return {attn::nn::converted<typename Typed::Scalar>(typed, images.pixels), images.sizes};
}

}  // namespace passes

template <class T>
std::array<double, 5> Detector::add_gradients_in(Context& ctx, Images const& images, Truths const& truths,
                                                 attn::RandomKey key) const {
  attn::nn::ContextIn<Context, T> typed(ctx);
  using Typed = std::remove_reference_t<decltype(typed)>;
  return model_.accumulate_gradients<Typed>(typed, passes::images_in<Typed>(typed, images), truths, key).values();
}

template <class T>
std::vector<std::vector<attn::detection::Detection>> Detector::detect_in(Context& ctx, Images const& images) const {
  attn::nn::ContextIn<Context, T> typed(ctx);
  using Typed = std::remove_reference_t<decltype(typed)>;
  return model_.detect<Typed>(typed, passes::images_in<Typed>(typed, images));
}

}  // namespace train_detection
