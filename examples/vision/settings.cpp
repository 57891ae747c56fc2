#include "vision/settings.hpp"

#include "attn/io/options.hpp"

#include <charconv>
#include <cmath>
#include <utility>

namespace vision {
namespace {

/// "4" or "4x7": height and width.
std::optional<std::pair<int, int>> parse_patch(std::string const& text) {
  auto const number = [](std::string_view part) {
    int value = 0;
    auto const [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    return error == std::errc() && end == part.data() + part.size() ? value : 0;
  };
  std::size_t const cross = text.find('x');
  int const height = number(std::string_view(text).substr(0, cross));
  int const width = cross == std::string::npos ? height : number(std::string_view(text).substr(cross + 1));
  if (height < 1 || width < 1) return std::nullopt;
  return std::pair(height, width);
}

CLI::Validator patch_size() {
  auto const check = [](std::string const& text) {
    return parse_patch(text) ? std::string() : "use a size like 4, or 4x7 for height and width, got '" + text + "'";
  };
  return {check, "SIZE"};
}

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

void add_model_options(CLI::App& app, ModelSettings& model) {
  std::string explanation = "Preset of patch, width, depth and heads:";
  std::vector<std::string> names;
  for (Preset const& p : presets) {
    names.push_back(p.name);
    explanation += std::string(names.size() == 1 ? " " : "; ") + p.name + " " + std::to_string(p.patch) + ", " +
                   std::to_string(p.width) + ", " + std::to_string(p.depth) + ", " + std::to_string(p.heads);
  }
  std::string const group = "Model";
  app.add_option("--model", model.preset, explanation)->check(io::one_of(names))->group(group);
  app.add_option(
         "--patch", model.patch,
         "Side of a patch, or height x width: 4x7 (default: of the preset, or the next smaller that tiles the images)")
      ->check(patch_size())
      ->group(group);
  app.add_option("--width", model.width, "Numbers of a token (default: of the preset)")
      ->check(io::between(1, 65536))
      ->group(group);
  app.add_option("--depth", model.depth, "Blocks (default: of the preset)")->check(io::between(0, 1000))->group(group);
  app.add_option("--heads", model.heads, "Heads of attention; they divide the width (default: of the preset)")
      ->check(io::between(1, 4096))
      ->group(group);
  app.add_option("--mlp-ratio", model.mlp_ratio, "Width of the hidden layer of an MLP over that of a token")
      ->check(io::between(0.01, 100.0))
      ->group(group);
  app.add_option("--drop", model.drop, "Dropout rate")->check(io::between(0.0, 0.99))->group(group);
  app.add_option("--drop-path", model.drop_path,
                 "Rate of stochastic depth in the last block; linear from 0 at the first")
      ->check(io::between(0.0, 0.99))
      ->group(group);
  app.add_option("--pool", model.pool, "What the head sees: the class token, or the mean of the others")
      ->check(io::one_of({"token", "mean"}))
      ->group(group);
  app.add_flag("--scale-per-head", model.scale_per_head, "Train one scale for each head instead of one for each layer")
      ->group(group);
}

void add_recipe_options(CLI::App& app, Recipe& recipe) {
  std::string const group = "Recipe";
  auto const number = [&](char const* flag, double& value, char const* explanation, double low, double high) {
    app.add_option(flag, value, explanation)->check(io::between(low, high))->group(group);
  };
  app.add_option("--epochs", recipe.epochs, "Passes over the training images")
      ->check(io::between(std::uint64_t(1), std::uint64_t(1000000)))
      ->group(group);
  app.add_option("--batch", recipe.batch, "Images of a step")
      ->check(io::between(std::size_t(1), std::size_t(1000000)))
      ->group(group);
  number("--lr", recipe.lr, "Learning rate after the warm-up (AdamW)", 0, 1e38);
  number("--min-lr", recipe.min_lr, "Learning rate at the end", 0, 1e38);
  number("--warmup", recipe.warmup, "Epochs in which the learning rate rises; parts of one are allowed", 0, 1e6);
  number("--warmup-lr", recipe.warmup_lr, "Learning rate at the start", 0, 1e38);
  app.add_option("--schedule", recipe.schedule, "Learning rate after the warm-up: cosine to --min-lr, or constant")
      ->check(io::one_of({"cosine", "constant"}))
      ->group(group);
  number("--weight-decay", recipe.weight_decay, "Weight decay of matrices; biases, norms and scales have none", 0, 1e6);
  number("--beta2", recipe.beta2, "Memory of AdamW's second moment", 0, 0.9999999);
  number("--clip", recipe.clip, "Largest global norm of the gradients; 0 for none", 0, 1e38);
  number("--label-smoothing", recipe.label_smoothing, "Share of the targets that all classes have in common", 0, 0.99);
  number("--mixup", recipe.mixup, "Alpha of mixup; 0 for none", 0, 1000);
  number("--cutmix", recipe.cutmix, "Alpha of cutmix; 0 for none", 0, 1000);
  number("--flip", recipe.flip, "Probability that an image is mirrored", 0, 1);
  app.add_option("--crop-padding", recipe.crop_padding, "Black pixels around an image from which a crop is taken")
      ->check(io::between(0, 10000))
      ->group(group);
  number("--erase", recipe.erase, "Probability that a rectangle of an image becomes noise", 0, 1);
  number("--ema", recipe.ema, "Decay of an average of the weights, which is then evaluated and kept; 0 for none", 0,
         0.99999999);
  app.add_option("--log-every", recipe.log_every, "Steps between rows of metrics.csv")
      ->check(io::between(std::uint64_t(1), std::uint64_t(1000000000)))
      ->group(group);
}

void add_data_options(CLI::App& app, DataSettings& data) {
  std::string const group = "Data";
  app.add_option("--data", data.directory, "Directory of the four files of MNIST or a relative of it")->group(group);
  app.add_option("--train-images", data.files.train_images, "IDX file, gzip or plain (default: in --data)")
      ->group(group);
  app.add_option("--train-labels", data.files.train_labels, "IDX file, gzip or plain (default: in --data)")
      ->group(group);
  app.add_option("--test-images", data.files.test_images, "IDX file, gzip or plain (default: in --data)")->group(group);
  app.add_option("--test-labels", data.files.test_labels, "IDX file, gzip or plain (default: in --data)")->group(group);
  app.add_option("--train-limit", data.train_limit, "Use so many training images; 0 for all")->group(group);
  app.add_option("--test-limit", data.test_limit, "Use so many test images; 0 for all")->group(group);
  app.add_option("--classes", data.classes, "Number of classes; 0 for one more than the highest training label")
      ->check(io::between(0, 1000000))
      ->group(group);
}

}  // namespace

void add_options(CLI::App& app, Settings& settings) {
  add_model_options(app, settings.model);
  add_recipe_options(app, settings.recipe);
  add_data_options(app, settings.data);
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
  auto const [patch_height, patch_width] = parse_patch(settings.patch.value_or(std::to_string(tile))).value();
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
  return {.batch_size = recipe.batch,
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

io::Json describe(Settings const& settings, Sizes const& sizes, attn::data::Split const& data) {
  ActivationChoice const& a = settings.activation;
  Recipe const& r = settings.recipe;
  return {{"name", a.name()},
          {"activation", a.activation},
          {"power", a.is_poly() ? io::Json(a.power) : io::Json(nullptr)},
          {"scale", a.is_poly() ? a.scale : "none"},
          {"factor", a.is_poly() && a.factor != 0 ? io::Json(a.factor) : io::Json(nullptr)},
          {"seed", settings.seed},
          {"scale_per_head", sizes.scale_per_head},
          {"image", {sizes.channels, sizes.image_height, sizes.image_width}},
          {"classes", sizes.classes},
          {"patch", {sizes.patch_height, sizes.patch_width}},
          {"width", sizes.width},
          {"depth", sizes.depth},
          {"heads", sizes.heads},
          {"mlp_ratio", sizes.mlp_ratio},
          {"pool", settings.model.pool},
          {"drop", sizes.dropout},
          {"drop_path", sizes.stochastic_depth},
          {"train_images", data.train.count},
          {"test_images", data.test.count},
          {"epochs", r.epochs},
          {"batch", r.batch},
          {"lr", r.lr},
          {"min_lr", r.min_lr},
          {"warmup", r.warmup},
          {"warmup_lr", r.warmup_lr},
          {"schedule", r.schedule},
          {"weight_decay", r.weight_decay},
          {"beta2", r.beta2},
          {"clip", r.clip},
          {"label_smoothing", r.label_smoothing},
          {"mixup", r.mixup},
          {"cutmix", r.cutmix},
          {"flip", r.flip},
          {"crop_padding", r.crop_padding},
          {"erase", r.erase},
          {"ema", r.ema},
          {"log_every", r.log_every}};
}

}  // namespace vision
