#include "vision/settings.hpp"

#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace vision {
namespace {

struct Preset {
  char const* name;
  int patch, width, depth, heads;
};
constexpr Preset presets[] = {
    {"small", 7, 64, 4, 2}, {"medium", 4, 96, 5, 3}, {"tiny", 16, 192, 12, 3}, {"base", 16, 768, 12, 12}};

Preset const& preset(std::string const& name) {
  for (Preset const& p : presets) {
    if (p.name == name) return p;
  }
  throw attn::Error("--model: there is no preset '" + name + "'");
}

void describe(io::SettingList& list, ModelSettings& m) {
  std::string explanation = "Preset of patch, width, depth and heads:";
  std::vector<std::string> names;
  for (Preset const& p : presets) {
    names.push_back(p.name);
    explanation += std::string(names.size() == 1 ? " " : "; ") + p.name + " " + std::to_string(p.patch) + ", " +
                   std::to_string(p.width) + ", " + std::to_string(p.depth) + ", " + std::to_string(p.heads);
  }
  list.group("Model");
  list("model", m.preset, {.help = explanation, .words = names, .decides = false});
  list("patch", m.patch,
       {.help = "Side of a patch, or height x width: 4x7 (default: of the preset, or the next smaller that tiles the "
                "images)",
        .model = true});
  list("width", m.width, {.help = "Numbers of a token (default: of the preset)", .range = {1, 65536}, .model = true});
  list("depth", m.depth, {.help = "Blocks (default: of the preset)", .range = {0, 1000}, .model = true});
  list("heads", m.heads,
       {.help = "Heads of attention; they divide the width (default: of the preset)",
        .range = {1, 4096},
        .model = true});
  list("mlp-ratio", m.mlp_ratio,
       {.help = "Width of the hidden layer of an MLP over that of a token", .range = {0.01, 100}, .model = true});
  list("drop", m.drop, {.help = "Dropout rate", .range = {0, 0.99}});
  list("drop-path", m.drop_path,
       {.help = "Rate of stochastic depth in the last block; linear from 0 at the first", .range = {0, 0.99}});
  list("pool", m.pool,
       {.help = "What the head sees: the class token, or the mean of the others",
        .words = {"token", "mean"},
        .model = true});
  list("scale-per-head", m.scale_per_head,
       {.help = "Train one scale for each head instead of one for each layer", .model = true});
}

void describe(io::SettingList& list, Recipe& r) {
  list.group("Recipe");
  list("epochs", r.epochs, {.help = "Passes over the training images", .range = {1, 1000000}});
  list("batch", r.batch, {.help = "Images of a step", .range = {1, 1000000}});
  list("lr", r.lr, {.help = "Learning rate after the warm-up (AdamW)", .range = {0, 1e38}});
  list("min-lr", r.min_lr, {.help = "Learning rate at the end", .range = {0, 1e38}});
  list("warmup", r.warmup,
       {.help = "Epochs in which the learning rate rises; parts of one are allowed", .range = {0, 1e6}});
  list("warmup-lr", r.warmup_lr, {.help = "Learning rate at the start", .range = {0, 1e38}});
  list("schedule", r.schedule,
       {.help = "Learning rate after the warm-up: cosine to --min-lr, or constant", .words = {"cosine", "constant"}});
  list("weight-decay", r.weight_decay,
       {.help = "Weight decay of matrices; biases, norms and scales have none", .range = {0, 1e6}});
  list("beta2", r.beta2, {.help = "Memory of AdamW's second moment", .range = {0, 1, true}});
  list("clip", r.clip, {.help = "Largest global norm of the gradients; 0 for none", .range = {0, 1e38}});
  list("label-smoothing", r.label_smoothing,
       {.help = "Share of the targets that all classes have in common", .range = {0, 0.99}});
  list("mixup", r.mixup, {.help = "Alpha of mixup; 0 for none", .range = {0, 1000}});
  list("cutmix", r.cutmix, {.help = "Alpha of cutmix; 0 for none", .range = {0, 1000}});
  list("flip", r.flip, {.help = "Probability that an image is mirrored", .range = {0, 1}});
  list("crop-padding", r.crop_padding,
       {.help = "Black pixels around an image from which a crop is taken", .range = {0, 10000}});
  list("erase", r.erase, {.help = "Probability that a rectangle of an image becomes noise", .range = {0, 1}});
  list("ema", r.ema,
       {.help = "Decay of an average of the weights, which is then evaluated and kept; 0 for none",
        .range = {0, 1, true}});
  list("log-every", r.log_every, {.help = "Steps between rows of metrics.csv", .range = {1, 1e9}});
  list("accumulate", r.accumulate,
       {.help = "Parts that a batch is computed in, to save memory; they divide it", .range = {1, 1000000}});
  list("eval-every", r.eval_every,
       {.help = "Steps, or a time like 10m, between evaluations (default: one after each epoch)"});
  list("checkpoint-every", r.checkpoint_every,
       {.help = "Steps, or a time like 10m, between checkpoints (default: one after each evaluation)",
        .decides = false});
}

void describe(io::SettingList& list, DataSettings& d) {
  list.group("Data");
  auto const file = [&](char const* name, io::Path& path) {
    list(name, path, {.help = "IDX file, gzip or plain (default: in --data)", .file = true, .decides = false});
  };
  list("data", d.directory, {.help = "Directory of the four files of MNIST or a relative of it", .decides = false});
  file("train-images", d.files.train_images);
  file("train-labels", d.files.train_labels);
  file("test-images", d.files.test_images);
  file("test-labels", d.files.test_labels);
  list("train-limit", d.train_limit, {.help = "Use so many training images; 0 for all", .decides = false});
  list("test-limit", d.test_limit, {.help = "Use so many test images; 0 for all", .decides = false});
  list("classes", d.classes,
       {.help = "Number of classes; 0 for one more than the highest training label",
        .range = {0, 1000000},
        .model = true});
}

}  // namespace

std::optional<Patch> Patch::parse(std::string const& text) {
  auto const number = [](std::string_view part) {
    int value = 0;
    auto const [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    return error == std::errc() && end == part.data() + part.size() ? value : 0;
  };
  std::size_t const cross = text.find('x');
  int const height = number(std::string_view(text).substr(0, cross));
  int const width = cross == std::string::npos ? height : number(std::string_view(text).substr(cross + 1));
  if (height < 1 || width < 1) return std::nullopt;
  return Patch{height, width};
}

std::optional<Patch> Patch::from_json(io::Json const& json) {
  if (!json.is_array() || json.size() != 2 || !json[0].is_number_integer() || !json[1].is_number_integer()) {
    return std::nullopt;
  }
  auto const height = json[0].get<std::int64_t>(), width = json[1].get<std::int64_t>();
  auto const good = [](std::int64_t side) { return side >= 1 && side <= std::numeric_limits<int>::max(); };
  if (!good(height) || !good(width)) return std::nullopt;
  return Patch{static_cast<int>(height), static_cast<int>(width)};
}

std::string Patch::text() const {
  return height == width ? std::to_string(height) : std::to_string(height) + "x" + std::to_string(width);
}

void describe(io::SettingList& list, Settings& settings) {
  describe(list, settings.model);
  describe(list, settings.recipe);
  describe(list, settings.data);
}

void check(Settings const& settings) {
  Recipe const& r = settings.recipe;
  ATTN_CHECK(r.batch % r.accumulate == 0, "--accumulate: give a divisor of the batch of ", r.batch, ", got ",
             r.accumulate);
}

attn::data::IdxPaths complete_paths(DataSettings const& settings) {
  attn::data::IdxPaths files = attn::data::idx_paths(settings.directory);
  auto const take = [](io::Path& into, io::Path const& given) {
    if (!given.empty()) into = given;
  };
  take(files.train_images, settings.files.train_images);
  take(files.train_labels, settings.files.train_labels);
  take(files.test_images, settings.files.test_images);
  take(files.test_labels, settings.files.test_labels);
  return files;
}

attn::data::Split load_data(DataSettings const& settings) {
  auto const& given = settings.files;
  bool const is_fashion = settings.directory == attn::data::fashion_mnist_directory && given.train_images.empty() &&
                          given.train_labels.empty() && given.test_images.empty() && given.test_labels.empty();
  attn::data::Split split = is_fashion ? attn::data::load_fashion_mnist()
                                       : attn::data::load_idx_split(complete_paths(settings), settings.classes);
  if (is_fashion && settings.classes > 0) {
    ATTN_CHECK(settings.classes >= split.train.classes, "--classes: give at least the ", split.train.classes,
               " classes of the data, got ", settings.classes);
    split.train.classes = split.test.classes = settings.classes;
  }
  if (settings.train_limit > 0) split.train = attn::data::take(std::move(split.train), settings.train_limit);
  if (settings.test_limit > 0) split.test = attn::data::take(std::move(split.test), settings.test_limit);
  return split;
}

Sizes model_sizes(ModelSettings const& settings, attn::data::Dataset const& like) {
  Preset const& p = preset(settings.preset);
  int tile = p.patch;
  while (tile > 1 &&
         (like.height % static_cast<std::size_t>(tile) != 0 || like.width % static_cast<std::size_t>(tile) != 0))
    --tile;
  auto const [patch_height, patch_width] = settings.patch.value_or(Patch{tile, tile});
  return {.width = settings.width.value_or(p.width),
          .depth = settings.depth.value_or(p.depth),
          .heads = settings.heads.value_or(p.heads),
          .mlp_ratio = settings.mlp_ratio,
          .image_height = static_cast<attn::Index>(like.height),
          .image_width = static_cast<attn::Index>(like.width),
          .channels = static_cast<attn::Index>(like.channels),
          .patch_height = patch_height,
          .patch_width = patch_width,
          .classes = like.classes,
          .pooled = settings.pool == "mean" ? attn::nn::Pooled::mean : attn::nn::Pooled::class_token,
          .dropout = settings.drop,
          .stochastic_depth = settings.drop_path,
          .scale_per_head = settings.scale_per_head};
}

attn::data::BatchOptions batch_options(Recipe const& recipe, std::uint64_t seed) {
  return {.batch_size = recipe.batch / recipe.accumulate,
          .key = attn::subkey(attn::RandomKey{.seed = seed}, "batches"),
          .augmentation = {.crop_padding = recipe.crop_padding,
                           .flip_probability = recipe.flip,
                           .erase_probability = recipe.erase},
          .mixing = {.mixup_alpha = recipe.mixup, .cutmix_alpha = recipe.cutmix},
          .smoothing = recipe.label_smoothing};
}

LearningRate::LearningRate(Recipe const& recipe, std::uint64_t steps_per_epoch)
    : constant_(recipe.schedule == "constant") {
  auto const warmup = static_cast<attn::Index>(std::llround(recipe.warmup * static_cast<double>(steps_per_epoch)));
  warmup_ = {.rate = recipe.lr, .warmup = warmup, .start = recipe.warmup_lr};
  cosine_ = {.base = recipe.lr,
             .total = static_cast<attn::Index>(recipe.epochs * steps_per_epoch),
             .minimum = recipe.min_lr,
             .warmup = warmup,
             .start = recipe.warmup_lr};
}

io::Json results_of(Settings settings, Sizes const& sizes, attn::data::Split const& data) {
  ActivationChoice const& a = settings.activation;
  io::Json run = {{"name", a.name()},
                  {"activation", a.activation},
                  {"power", a.is_poly() ? io::Json(a.power) : io::Json(nullptr)},
                  {"scale", a.is_poly() ? a.scale : "none"},
                  {"factor", a.is_poly() && a.factor != 0 ? io::Json(a.factor) : io::Json(nullptr)},
                  {"seed", settings.seed},
                  {"scale_per_head", nullptr},  // these have their places and get their values below
                  {"image", {sizes.channels, sizes.image_height, sizes.image_width}},
                  {"classes", nullptr},
                  {"patch", nullptr},
                  {"width", nullptr},
                  {"depth", nullptr},
                  {"heads", nullptr},
                  {"mlp_ratio", nullptr},
                  {"pool", nullptr},
                  {"drop", nullptr},
                  {"drop_path", nullptr},
                  {"train_images", data.train.count},
                  {"test_images", data.test.count}};
  settings.model.patch = Patch{static_cast<int>(sizes.patch_height), static_cast<int>(sizes.patch_width)};
  settings.model.width = static_cast<int>(sizes.width);
  settings.model.depth = static_cast<int>(sizes.depth);
  settings.model.heads = static_cast<int>(sizes.heads);
  settings.data.classes = sizes.classes;
  io::SettingList list;
  describe(list, settings);
  list.write(run);
  if (settings.recipe.accumulate == 1) run.erase("accumulate");  // as in checkpoints from before there was such a thing
  if (!settings.recipe.eval_every) run.erase("eval_every");
  return run;
}

void adopt(io::SettingList& list, io::CommonOptions const& common, Settings& settings, io::Json const& description,
           std::string const& source) {
  if (list.given("model")) {
    Preset const& p = preset(settings.model.preset);
    auto const take = [&](char const* name, std::optional<int>& into, int number) {
      if (list.given(name)) return;
      into = number;
      list.at(name).given_by = "--model";
    };
    take("width", settings.model.width, p.width);
    take("depth", settings.model.depth, p.depth);
    take("heads", settings.model.heads, p.heads);
  }
  io::adopt(list, description, source);
  settings.activation = {common.activation, common.power, common.scale};
  io::Json const factor = description.value("factor", io::Json(nullptr));
  if (factor.is_null() || list.given("scale")) return;
  double const number = factor.is_number() ? factor.get<double>() : NAN;
  ATTN_CHECK(std::isfinite(number), source, " describes its factor wrongly: use a number, got ", factor.dump());
  settings.activation.factor = number;
}

io::MemoryPlan memory_of(Settings const& settings, Sizes const& s, bool trains) {
  double const width = double(s.width), hidden = s.mlp_ratio * width, depth = double(s.depth), classes = s.classes;
  double const patch = double(s.patch_height) * double(s.patch_width);
  double const tokens = double(s.image_height) * double(s.image_width) / patch + 1;
  double const parameters = (patch * double(s.channels) + tokens + classes + 5) * width +
                            depth * (4 * width * width + 2 * width * hidden + 9 * width + hidden);
  double const batch = double(settings.recipe.batch) / double(settings.recipe.accumulate), judged = 250;
  double const block = tokens * (9 * width + 2 * hidden);  // what one image leaves in one block for the way back
  double const number = sizeof(float);
  io::MemoryPlan plan;
  // Values, gradients, two moments, and what of these is written to the disk.
  plan.add("parameters", number * parameters * (trains ? (settings.recipe.ema > 0 ? 9 : 7) : 2));
  if (trains) plan.add("activations of a batch", number * batch * (block * (depth + 1) + 6 * classes));
  plan.add("activations of evaluation", number * judged * (block + 3 * classes));
  return plan;
}

}  // namespace vision
