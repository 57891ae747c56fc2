#include "vision/weights.hpp"

#include "attn/nn/fine_tuning.hpp"
#include "attn/train/weights.hpp"

#include <iostream>
#include <variant>

namespace vision {
namespace {

bool any_matches(io::Safetensors const& file, char const* pattern) {
  for (auto const& [name, _] : file.tensors()) {
    if (attn::nn::matches(pattern, name)) return true;
  }
  return false;
}

std::string title(std::string const& family) {
  if (family == "vit") return "a ViT or DeiT";
  if (family == "swin") return "a Swin";
  return "an XCiT";
}

/// Throws where the names are those of another family.
void check_family(io::Path const& path, Sizes const& sizes) {
  std::string const looks_like = family_of_weights(path);
  ATTN_CHECK(looks_like.empty() || looks_like == sizes.family, "--weights: '", path.string(), "' look like those of ",
             title(looks_like), ", not of ", title(sizes.family), "; give --model with a name of that family");
  if (looks_like != "vit" || sizes.family != "vit") return;
  bool const has_teacher_head = any_matches(io::Safetensors(path), "head_dist.weight");
  ATTN_CHECK(has_teacher_head == sizes.distilled, "--weights: '", path.string(), "' are those of a DeiT ",
             has_teacher_head ? "with" : "without", " a distillation token, the model has ",
             sizes.distilled ? "one" : "none", "; give --model with ", has_teacher_head ? "a" : "no",
             " distilled name");
}

/// Throws where the head of the file is for other classes.
void check_classes(io::Path const& path, Context& ctx, Sizes const& sizes) {
  io::Safetensors const file(path);
  for (attn::nn::ParameterEntry const& entry : ctx.parameters.entries()) {
    if (!std::holds_alternative<attn::nn::ClassRows>(entry.adapts) || !file.contains(entry.name)) continue;
    auto const& shape = file.entry(entry.name).shape;
    if (shape.size() != entry.shape.size() || shape.empty()) continue;  // the loader will say so
    ATTN_CHECK(Index(shape[0]) == entry.shape[0], "--weights: '", path.string(), "' know ", shape[0],
               " classes, the data has ", sizes.classes,
               "; give the data that they belong to, or train a new head with --classes ", sizes.classes);
  }
}

}  // namespace

std::string family_of_weights(io::Path const& path) {
  io::Safetensors const file(path);
  if (any_matches(file, "*relative_position_bias_table")) return "swin";
  if (any_matches(file, "*.attn.temperature") || any_matches(file, "cls_attn_blocks.*")) return "xcit";
  if (any_matches(file, "blocks.*.attn.qkv.weight")) return "vit";
  return "";
}

int head_rows(io::Path const& path) {
  io::Safetensors const file(path);
  for (char const* const name : {"head.weight", "head.fc.weight"}) {
    if (file.contains(name) && !file.entry(name).shape.empty()) return static_cast<int>(file.entry(name).shape[0]);
  }
  throw attn::Error("--weights: '" + path.string() + "' has no head.weight; give weights of a classifier of images");
}

void load_model(io::Path const& file, Context& ctx, Sizes const& sizes, bool new_head) {
  check_family(file, sizes);
  if (!new_head) check_classes(file, ctx, sizes);
  auto const report = attn::train::load_weights(file, ctx, {.adapt = true});
  for (std::string const& sentence : report.adapted) std::cerr << "weights: " << sentence << std::endl;
}

void tune(Tuning const& tuning, Context& ctx, Classifier const& model) {
  if (tuning.layer_decay != 1) attn::nn::set_layer_decay(ctx.parameters, tuning.layer_decay, model.layers());
  ctx.parameters.check_patterns(tuning.freeze);
  for (std::string const& pattern : tuning.freeze) ctx.parameters.set(pattern, {.trained = false});
}

}  // namespace vision
