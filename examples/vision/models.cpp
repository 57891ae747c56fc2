#include "vision/models.hpp"

#include "attn/io/detail/nearest.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "vision/classifier.hpp"
#include "vision/families.hpp"

namespace vision {
namespace {

NamedModel small_model(char const* name, char const* family, int patch, int width, Stages depth, Stages heads) {
  NamedModel model{.name = name, .any_image = true};
  model.sizes.family = family;
  model.sizes.patch = {patch, patch};
  model.sizes.width = width;
  model.sizes.depth = std::move(depth);
  model.sizes.heads = std::move(heads);
  model.sizes.pool = "mean";
  return model;
}

/// The names nearest to `word`, at most three.
std::string near_names(std::string const& word) {
  std::vector<std::pair<std::size_t, std::string>> names;
  for (NamedModel const& model : named_models()) {
    names.emplace_back(io::detail::edit_distance(word, model.name), model.name);
  }
  std::stable_sort(names.begin(), names.end(), [](auto const& a, auto const& b) { return a.first < b.first; });
  std::string list;
  std::size_t const near = names.front().first;
  for (std::size_t i = 0; i < 3 && names[i].first <= near + 2; ++i) list += (i == 0 ? "" : ", ") + names[i].second;
  return list;
}

/// use(flag, its field of `settings`, that of `sizes`) for all sizes that flags may change; both may be settings.
template <class Settings, class Of, class Use>
void for_each_size(Settings& settings, Of& sizes, Use const& use) {
  use("family", settings.family, sizes.family);
  use("patch", settings.patch, sizes.patch);
  use("width", settings.width, sizes.width);
  use("depth", settings.depth, sizes.depth);
  use("heads", settings.heads, sizes.heads);
  use("mlp-ratio", settings.mlp_ratio, sizes.mlp_ratio);
  use("window", settings.window, sizes.window);
  use("layer-scale", settings.layer_scale, sizes.layer_scale);
  use("class-depth", settings.class_depth, sizes.class_depth);
  use("class-norm", settings.class_norm, sizes.class_norm);
  use("pool", settings.pool, sizes.pool);
}

/// The same for switches.
template <class Settings, class Of, class Use>
void for_each_switch(Settings& settings, Of& sizes, Use const& use) {
  use("distilled", settings.distilled, sizes.distilled);
  use("no-qkv-bias", settings.no_qkv_bias, sizes.no_qkv_bias);
  use("no-class-position", settings.no_class_position, sizes.no_class_position);
}

/// Whether models of a family have such a size.
bool has(Sizes const& sizes, std::string const& name) {
  if (name == "pool") return sizes.family == "vit";
  if (name == "window") return sizes.family == "swin";
  if (name == "class-depth" || name == "class-norm") return sizes.family == "xcit";
  return name != "layer-scale" || sizes.family == "xcit" || sizes.layer_scale > 0;
}

}  // namespace

std::vector<NamedModel> const& named_models() {
  static std::vector<NamedModel> const all = [] {
    std::vector<NamedModel> models;
    models.push_back(small_model("small", "vit", 7, 64, 4, 2));
    models.push_back(small_model("medium", "vit", 4, 96, 5, 3));
    models.push_back(small_model("tiny", "vit", 16, 192, 12, 3));
    models.push_back(small_model("base", "vit", 16, 768, 12, 12));
    models.push_back(small_model("deit_micro", "vit", 4, 64, 4, 4));
    models.back().sizes.pool = "token";
    models.push_back(models.back());
    models.back().name = "deit_micro_distilled";
    models.back().sizes.distilled = true;
    models.push_back(small_model("swin_micro", "swin", 4, 48, {2, 2}, {3, 6}));
    models.back().sizes.window = 4;
    models.push_back(small_model("xcit_micro", "xcit", 4, 64, 4, 4));
    models.back().sizes.layer_scale = 1;
    for (auto const& family : {vit_models(), swin_models(), xcit_models()}) {
      models.insert(models.end(), family.begin(), family.end());
    }
    return models;
  }();
  return all;
}

NamedModel const& named_model(std::string const& name) {
  for (NamedModel const& model : named_models()) {
    if (model.name == name) return model;
  }
  throw attn::Error("--model: there is no '" + name + "'; near are " + near_names(name) + ", --list-models lists all");
}

void describe(io::SettingList& list, ModelSettings& m) {
  list.group("Model");
  list(
      "model", m.name,
      {.help = "A model by name, see --list-models: small, medium, tiny, base and those called micro are for images of "
               "any size, the others are timm's. The flags below change its sizes",
       .decides = false});
  list("family", m.family,
       {.help = "Family of the model (default: that of --model)", .words = {"vit", "swin", "xcit"}, .model = true});
  list("image-size", m.image_size,
       {.help = "Height and width of the images that the model sees (default: that of the data, of folders that of "
                "--model)",
        .decides = false});
  list("patch", m.patch,
       {.help = "Side of a patch, or height x width: 4x7 (default: of the model, or the next smaller that tiles the "
                "images)",
        .model = true});
  list("width", m.width,
       {.help = "Numbers of a token, of Swin in the first stage (default: of the model)",
        .range = {1, 65536},
        .model = true});
  list("depth", m.depth, {.help = "Blocks, of Swin in each stage (default: of the model)", .model = true});
  list("heads", m.heads,
       {.help = "Heads of attention, of Swin in each stage; they divide the width (default: of the model)",
        .model = true});
  list("window", m.window, {.help = "Side of Swin's windows, in tokens (default: of the model)", .model = true});
  list("mlp-ratio", m.mlp_ratio,
       {.help = "Width of the hidden layer of an MLP over that of a token (default: of the model)",
        .range = {0.01, 100},
        .model = true});
  list("layer-scale", m.layer_scale,
       {.help = "Where the trained factors of branches start, of models that have them (default: of the model)",
        .range = {0, 100},
        .model = true});
  list("class-depth", m.class_depth,
       {.help = "Layers of XCiT's class attention (default: of the model)", .range = {1, 1000}, .model = true});
  list("class-norm", m.class_norm,
       {.help = "What XCiT's class attention normalises: all tokens, or the class token alone (default: of the model)",
        .words = {"all", "token"},
        .model = true});
  list("class-softmax", m.class_softmax,
       {.help = "Keep softmax in XCiT's class attention, whatever --activation says", .model = true});
  list("distilled", m.distilled,
       {.help = "Give a ViT DeiT's second token and head, which learn from the teacher (default: of the model)",
        .model = true});
  list("no-qkv-bias", m.no_qkv_bias,
       {.help = "Leave out a ViT's bias of queries, keys and values (default: of the model)", .model = true});
  list("no-class-position", m.no_class_position,
       {.help = "Give the class token of a ViT no position, as in DeiT III (default: of the model)", .model = true});
  list("drop", m.drop, {.help = "Dropout rate", .range = {0, 0.99}});
  list("drop-path", m.drop_path,
       {.help = "Rate of stochastic depth in the last block; linear from 0 at the first, of XCiT the same in all",
        .range = {0, 0.99}});
  list("pool", m.pool,
       {.help = "What the head of a ViT sees: the class token, or the mean of the others (default: of the model)",
        .words = {"token", "mean"},
        .model = true});
  list("scale-per-head", m.scale_per_head,
       {.help = "Train one scale for each head instead of one for each layer", .model = true});
}

Sizes model_sizes(ModelSettings const& settings, attn::data::ImageShape const& like) {
  NamedModel const& model = named_model(settings.name);
  Sizes sizes = model.sizes;
  sizes.image = {static_cast<int>(like.height), static_cast<int>(like.width)};
  sizes.channels = static_cast<int>(like.channels);
  sizes.classes = like.classes;
  if (model.any_image && sizes.family != "xcit") {
    int tile = sizes.patch.height;
    while (tile > 1 && (sizes.image.height % tile != 0 || sizes.image.width % tile != 0)) --tile;
    sizes.patch = {tile, tile};
  }
  for_each_size(settings, sizes, [](char const*, auto const& said, auto& size) {
    if (said) size = *said;
  });
  for_each_switch(settings, sizes, [](char const*, bool said, bool& size) { size = size || said; });
  sizes.class_softmax = settings.class_softmax;
  sizes.drop = settings.drop;
  sizes.drop_path = settings.drop_path;
  sizes.scale_per_head = settings.scale_per_head;
  ATTN_CHECK(sizes.depth.total() <= 1000, "--depth: give at most 1000 blocks, got ", sizes.depth.text());
  return sizes;
}

void say(ModelSettings& settings, Sizes const& sizes) {
  for_each_size(settings, sizes, [&](char const* name, auto& said, auto const& size) {
    if (has(sizes, name)) said = size;
  });
  for_each_switch(settings, sizes, [](char const*, bool& said, bool size) { said = size; });
}

void name_sizes(io::SettingList& list, ModelSettings& settings) {
  if (!list.given("model")) return;
  NamedModel const& model = named_model(settings.name);
  ModelSettings said;
  say(said, model.sizes);
  if (model.any_image) said.patch.reset(), said.pool.reset();
  for_each_size(settings, said, [&](char const* name, auto& into, auto const& from) {
    if (list.given(name) || !from) return;
    into = from;
    list.at(name).given_by = "--model";
  });
  if (model.any_image) return;
  for_each_switch(settings, said, [&](char const* name, bool& into, bool from) {
    into = into || from;
    list.at(name).given_by = "--model";
  });
}

std::string model_table() {
  std::string table = "name                                  parameters   images\n";
  for (NamedModel const& model : named_models()) {
    char row[128];
    // Of models for any image they depend on its size and classes.
    std::string const parameters = model.any_image ? "-" : std::to_string(count_parameters({}, model.sizes));
    std::snprintf(row, sizeof row, "%-36s %11s   %s\n", model.name.c_str(), parameters.c_str(),
                  model.any_image ? "any" : model.sizes.image.text().c_str());
    table += row;
  }
  return table;
}

}  // namespace vision
