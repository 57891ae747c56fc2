/// The detector of train_detection: its sizes, its precision, and the activations that it may have.
#pragma once

#include "attn/attention/activation_registry.hpp"
#include "attn/models/mask_rcnn.hpp"

#include <array>
#include <vector>

#include "detection/settings.hpp"

namespace train_detection {

using attn::Index;
using Context = attn::nn::Context<Kokkos::DefaultExecutionSpace>;
using Images = attn::models::DetectionImages<Context>;
using Truths = attn::detection::Truths<Context::MemorySpace>;

/// All that common trainers offer, and off: no attention.
attn::ActivationRegistry<attn::AnyActivation> const& activations();

/// A detector with the sizes, the rules and the precision that were chosen. Its parameters, and what it is given and
/// returns, are fp32 in either precision.
class Detector {
 public:
  /// Registers its parameters. Throws `attn::Error` where the sizes do not fit.
  Detector(Context& ctx, ModelSettings const& model, Recipe const& recipe);

  /// Adds the gradients of the losses to those of `ctx`; returns the losses, in the order of
  /// `attn::detection::DetectorLosses`. `key` decides what is sampled. Waits.
  std::array<double, 5> add_gradients(Context& ctx, Images const& images, Truths const& truths,
                                      attn::RandomKey key) const;

  /// What is found in each image, with masks. Waits.
  std::vector<std::vector<attn::detection::Detection>> detect(Context& ctx, Images const& images) const;

 private:
  // The same with numbers of T between the layers: compiled in fp32.cpp and bf16.cpp.
  template <class T>
  std::array<double, 5> add_gradients_in(Context& ctx, Images const& images, Truths const& truths,
                                         attn::RandomKey key) const;
  template <class T>
  std::vector<std::vector<attn::detection::Detection>> detect_in(Context& ctx, Images const& images) const;

  attn::models::MaskRcnn<attn::AnyActivation> model_;
  bool bf16_;
};

/// Weights of a classifier, XCiT with a head, into the backbone of a detector; what only detectors have stays as it was
/// drawn. Throws where the file lacks a number of the backbone.
void load_backbone(io::Path const& file, Context& ctx);

}  // namespace train_detection
