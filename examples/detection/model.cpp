#include "detection/model.hpp"

#include "attn/io/safetensors.hpp"
#include "attn/models/mask_rcnn_names.hpp"

#include <span>

namespace train_detection {
namespace {

namespace models = attn::models;

models::MaskRcnnConfig<attn::AnyActivation> config_of(ModelSettings const& m, Recipe const& r) {
  auto c = models::mask_rcnn_config<attn::AnyActivation>(m.name).value();
  auto& b = c.backbone;
  b.width = m.width.value_or(int(b.width));
  b.depth = m.depth.value_or(int(b.depth));
  b.heads = m.heads.value_or(int(b.heads));
  b.patch = m.patch.value_or(int(b.patch));
  b.taps = models::xcit_taps(b.depth);
  b.stochastic_depth = m.drop_path;
  b.activation = activations().make(
      m.activation, {.power = m.power,
                     .scale = m.scale,
                     .factor = m.scale == "fixed" && m.scale_keys > 0 ? 1 / std::sqrt(double(m.scale_keys)) : 0});
  b.scale_per_head = m.scale_per_head;
  b.scale_tokens = m.scale_keys;
  ATTN_CHECK(b.patch == 8 || b.patch == 16, "--patch: give 8 or 16 pixels, got ", b.patch);
  ATTN_CHECK(b.width % b.heads == 0 && b.width % (b.patch / 2) == 0, "--width: give a multiple of the ", b.heads,
             " heads and of ", b.patch / 2, ", got ", b.width);
  c.classes = m.classes;
  c.width = m.pyramid.value_or(int(c.width));
  c.hidden = m.hidden.value_or(int(c.hidden));
  c.mask_depth = m.mask_depth.value_or(int(c.mask_depth));
  if (m.anchor_scale) c.anchors.scales = {*m.anchor_scale};
  c.finest = m.finest.value_or(c.finest);
  c.anchor_losses.sample.count = r.anchors;
  c.regions.sample.count = r.regions;
  for (auto* const proposals : {&c.train_proposals, &c.test_proposals}) {
    proposals->count = r.proposals;
    proposals->of_map = std::min(proposals->of_map, Index(2 * r.proposals));
  }
  return c;
}

}  // namespace

Detector::Detector(Context& ctx, ModelSettings const& model, Recipe const& recipe)
    : model_(ctx, config_of(model, recipe)), bf16_(model.precision == "bf16") {}

std::array<double, 5> Detector::add_gradients(Context& ctx, Images const& images, Truths const& truths,
                                              attn::RandomKey key) const {
  return bf16_ ? add_gradients_in<attn::BFloat16>(ctx, images, truths, key)
               : add_gradients_in<float>(ctx, images, truths, key);
}

std::vector<std::vector<attn::detection::Detection>> Detector::detect(Context& ctx, Images const& images) const {
  return bf16_ ? detect_in<attn::BFloat16>(ctx, images) : detect_in<float>(ctx, images);
}

void load_backbone(io::Path const& path, Context& ctx) {
  io::Safetensors const file(path);
  std::string const prefix = "backbone.";
  auto const load = [&](auto const& e) {
    if (!e.name.starts_with(prefix) || e.name.starts_with(prefix + "fpn") || e.name.ends_with("num_batches_tracked")) {
      return;
    }
    std::string name = e.name.substr(prefix.size());
    if (!file.contains(name) && name.starts_with("pos_embeder.")) name = "pos_embed." + name.substr(12);
    ATTN_CHECK(file.contains(name), "--backbone-weights: '", path.string(), "' has no ", name,
               "; give weights of an XCiT of the same size");
    auto const array = file.array(name);
    std::vector<std::size_t> const shape(e.shape.begin(), e.shape.end());
    ATTN_CHECK(array.shape == shape, "--backbone-weights: '", path.string(), "' has ", name, " of the shape ",
               io::to_string(array.shape), ", the detector's is ", io::to_string(shape));
    auto const values = array.template as<float>();
    ctx.parameters.assign(e, std::span<float const>(values));
  };
  for (auto const& e : ctx.parameters.entries()) load(e);
  for (auto const& e : ctx.parameters.buffer_entries()) load(e);
}

}  // namespace train_detection
