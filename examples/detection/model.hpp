/// The detector of train_detection: its sizes, and the activations that it may have.
#pragma once

#include "attn/attention/activation_registry.hpp"
#include "attn/models/mask_rcnn.hpp"

#include <string>
#include <vector>

#include "detection/settings.hpp"

namespace train_detection {

using attn::Index;
using Context = attn::nn::Context<Kokkos::DefaultExecutionSpace>;
using Model = attn::models::MaskRcnn<attn::AnyActivation>;

/// All that common trainers offer, and off: no attention.
attn::ActivationRegistry<attn::AnyActivation> const& activations();

/// The sizes and rules of what was chosen.
attn::models::MaskRcnnConfig<attn::AnyActivation> config_of(ModelSettings const& model, Recipe const& recipe);

/// Weights of a classifier, XCiT with a head, into the backbone of a detector; what only detectors have stays as it was
/// drawn. Throws where the file lacks a number of the backbone.
void load_backbone(io::Path const& file, Context& ctx);

}  // namespace train_detection
