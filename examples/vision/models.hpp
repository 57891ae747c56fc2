/// Which models --model names, which sizes they have, and what of them flags may say otherwise.
#pragma once

#include "attn/data/source.hpp"
#include "attn/io/common_options.hpp"

#include <optional>
#include <string>
#include <vector>

#include "vision/sizes.hpp"

namespace vision {

/// A model by its name.
struct NamedModel {
  std::string name;
  Sizes sizes = {};
  /// For images of any size: they keep their own, and the patch becomes the next smaller that tiles them.
  bool any_image = false;
  /// What its published weights were judged with: the share of a resized picture's side that is seen, and the mean and
  /// deviation of channels.
  double crop_fraction = 0.875;
  float mean[3] = {0.485f, 0.456f, 0.406f};
  float deviation[3] = {0.229f, 0.224f, 0.225f};
};

/// The small presets, then those that timm names.
std::vector<NamedModel> const& named_models();

/// Throws where there is none of that name, and says which names are near.
NamedModel const& named_model(std::string const& name);

/// What flags and descriptions say of a model. What is not given comes from its name.
struct ModelSettings {
  std::string name = "small";
  std::optional<std::string> family;
  std::optional<Extent> image_size;
  std::optional<Extent> patch;
  std::optional<int> width;
  std::optional<Stages> depth;
  std::optional<Stages> heads;
  std::optional<double> mlp_ratio;
  std::optional<std::string> pool;
  std::optional<Stages> window;
  std::optional<double> layer_scale;
  std::optional<int> class_depth;
  std::optional<std::string> class_norm;
  bool class_softmax = false;
  bool distilled = false;
  bool no_qkv_bias = false;
  bool no_class_position = false;
  double drop = 0;
  double drop_path = 0;
  bool scale_per_head = false;
};

void describe(io::SettingList& list, ModelSettings& model);

/// The sizes of the model for images like these.
Sizes model_sizes(ModelSettings const& settings, attn::data::ImageShape const& like);

/// Says all sizes of a model in settings: for results and descriptions.
void say(ModelSettings& settings, Sizes const& sizes);

/// Where --model was given, its sizes count as if their flags had been: a description that says otherwise is refused.
void name_sizes(io::SettingList& list, ModelSettings& settings);

/// A table for people: names, parameters, sizes of images.
std::string model_table();

}  // namespace vision
