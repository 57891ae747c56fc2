#include "vision/recipe.hpp"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>
#include <utility>

#include "vision/models.hpp"

namespace vision {
namespace {

/// What DeiT, Swin and XCiT have in common, and Swin and XCiT took from DeiT.
io::Json augmented() {
  return {{"weight-decay", 0.05},
          {"beta2", 0.999},
          {"label-smoothing", 0.1},
          {"mixup", 0.8},
          {"cutmix", 1.0},
          {"flip", 0.5},
          {"crop-area", 0.08},
          {"auto-augment", "rand-m9-mstd0.5-inc1"},
          {"erase", 0.25},
          {"crop-fraction", 0.875},
          {"lr-batch", 512},
          {"batch", 1024},
          {"lr", 5e-4},
          {"schedule", "cosine"}};
}

io::Json merged(io::Json first, io::Json const& second) {
  first.update(second);
  return first;
}

/// Touvron et al. 2021. The schedule is told of an epoch when it is over, so that epochs 0 and 1 both have the rate of
/// the warm-up's start; what cools down after it was never run.
io::Json deit() {
  return merged(augmented(), {{"model", "deit_base_patch16_224"},
                              {"epochs", 300},
                              {"min-lr", 1e-5},
                              {"warmup", 5.0},
                              {"warmup-lr", 1e-6},
                              {"lr-scaling", "peak"},
                              {"schedule-by", "epoch"},
                              {"schedule-late", true},
                              {"warmup-prefix", false},
                              {"clip", 0.0},
                              {"repeats", 3},
                              {"ema", 0.99996},
                              {"ema-use", "store"},
                              {"drop", 0.0},
                              {"drop-path", 0.1}});
}

bool has(std::string const& name, char const* part) { return name.find(part) != std::string::npos; }

/// El-Nouby et al. 2021: DeiT's, longer; stochastic depth by size.
io::Json xcit(std::string const& model) {
  double const drop_path = has(model, "small_12") ? 0.05 : has(model, "nano") || has(model, "tiny") ? 0.0 : 0.15;
  return merged(deit(), {{"model", "xcit_medium_24_p16_224"}, {"epochs", 400}, {"drop-path", drop_path}});
}

/// Liu et al. 2021. All rates are for a batch of 512.
io::Json swin(std::string const& model) {
  double const drop_path = has(model, "tiny") || has(model, "micro") ? 0.2 : has(model, "small") ? 0.3 : 0.5;
  return merged(augmented(), {{"model", "swin_base_patch4_window7_224"},
                              {"epochs", 300},
                              {"min-lr", 5e-6},
                              {"warmup", 20.0},
                              {"warmup-lr", 5e-7},
                              {"lr-scaling", "all"},
                              {"schedule-by", "step"},
                              {"schedule-late", true},
                              {"warmup-prefix", true},
                              {"clip", 5.0},
                              {"repeats", 1},
                              {"ema", 0.0},
                              {"ema-use", "judge"},
                              {"drop", 0.0},
                              {"drop-path", drop_path}});
}

/// Dosovitskiy et al. 2020, table 3, ImageNet from scratch.
io::Json vit() {
  return {{"model", "vit_base_patch16_224"},
          {"epochs", 300},
          {"batch", 4096},
          {"lr", 3e-3},
          {"lr-batch", 0},
          {"min-lr", 0.0},
          {"warmup-steps", 10000},
          {"warmup-lr", 0.0},
          {"schedule", "cosine"},
          {"schedule-by", "step"},
          {"warmup-prefix", true},
          {"weight-decay", 0.3},
          {"beta2", 0.999},
          {"clip", 1.0},
          {"label-smoothing", 0.0},
          {"mixup", 0.0},
          {"cutmix", 0.0},
          {"flip", 0.5},
          {"crop-area", 0.05},
          {"auto-augment", "none"},
          {"erase", 0.0},
          {"crop-fraction", 0.875},
          {"repeats", 1},
          {"ema", 0.0},
          {"drop", 0.1},
          {"drop-path", 0.0}};
}

/// The paper's ViT-Tiny with 256 patches: AdamW and 200 epochs are given, the rest is our choice.
io::Json tiny_imagenet() {
  return {{"model", "vit_tiny_patch16_224"},
          {"patch", {4, 4}},
          {"image-size", {64, 64}},
          {"epochs", 200},
          {"batch", 512},
          {"lr", 5e-4},
          {"lr-batch", 512},
          {"lr-scaling", "peak"},
          {"min-lr", 1e-5},
          {"warmup", 10.0},
          {"warmup-lr", 1e-6},
          {"schedule", "cosine"},
          {"schedule-by", "step"},
          {"weight-decay", 0.05},
          {"beta2", 0.999},
          {"clip", 1.0},
          {"label-smoothing", 0.1},
          {"mixup", 0.0},
          {"cutmix", 0.0},
          {"flip", 0.5},
          {"crop-area", 0.2},
          {"auto-augment", "none"},
          {"erase", 0.0},
          {"crop-fraction", 1.0},
          {"repeats", 1},
          {"ema", 0.0},
          {"drop", 0.0},
          {"drop-path", 0.1}};
}

}  // namespace

std::vector<std::string> recipe_names() { return {"vit", "deit", "swin", "xcit", "tiny-imagenet"}; }

io::Json published_recipe(std::string const& name, std::string const& model) {
  if (name == "vit") return vit();
  if (name == "deit") return deit();
  if (name == "swin") return swin(model);
  if (name == "xcit") return xcit(model);
  if (name == "tiny-imagenet") return tiny_imagenet();
  throw attn::Error("--recipe: there is no '" + name + "'");
}

std::string recipe_table(std::string const& name, std::string const& model) {
  ModelSettings sizes;
  Recipe recipe;
  io::SettingList list;
  describe(list, sizes);
  describe(list, recipe);
  io::Json const values = published_recipe(name, model);
  list.preset(values, "--recipe " + name);
  std::ostringstream table;
  for (io::SettingList::Setting const& setting : list.all()) {
    if (!values.contains(setting.name)) continue;
    std::string const text = setting.is_switch ? setting.json().dump() : setting.text();
    table << std::left << "--" << std::setw(18) << setting.name << std::setw(31) << text << ' ' << setting.about.help
          << '\n';
  }
  return table.str();
}

void describe(io::SettingList& list, Recipe& r) {
  list.group("Recipe");
  list("epochs", r.epochs, {.help = "Passes over the training images", .range = {1, 1000000}});
  list("batch", r.batch, {.help = "Images of a step", .range = {1, 1000000}});
  list("lr", r.lr, {.help = "Learning rate after the warm-up (AdamW)", .range = {0, 1e38}});
  list("min-lr", r.min_lr, {.help = "Learning rate at the end", .range = {0, 1e38}});
  list("warmup", r.warmup,
       {.help = "Epochs in which the learning rate rises; parts of one are allowed", .range = {0, 1e6}});
  list("warmup-steps", r.warmup_steps,
       {.help = "Steps in which the learning rate rises, instead of epochs; 0: as --warmup says", .range = {0, 1e9}});
  list("warmup-lr", r.warmup_lr, {.help = "Learning rate at the start", .range = {0, 1e38}});
  list("schedule", r.schedule,
       {.help = "Learning rate after the warm-up: cosine to --min-lr, or constant", .words = {"cosine", "constant"}});
  list("schedule-by", r.schedule_by,
       {.help = "How often the learning rate changes: with each step, or with each epoch", .words = {"step", "epoch"}});
  list("schedule-late", r.schedule_late,
       {.help = "Train each epoch or step with the rate that was meant for the one before, as the programs of DeiT, "
                "Swin and "
                "XCiT do"});
  list("warmup-prefix", r.warmup_prefix,
       {.help = "Let the cosine begin where the warm-up ends, instead of at the start of training"});
  list("lr-batch", r.lr_batch,
       {.help = "Batch that the learning rates are given for: they grow with --batch; 0: they are as given",
        .range = {0, 1e9}});
  list("lr-scaling", r.lr_scaling,
       {.help = "What --lr-batch scales: --lr alone (peak), or --min-lr and --warmup-lr too (all)",
        .words = {"peak", "all"}});
  list("weight-decay", r.weight_decay,
       {.help = "Weight decay of matrices; biases, norms, positions and scales have none", .range = {0, 1e6}});
  list("beta2", r.beta2, {.help = "Memory of AdamW's second moment", .range = {0, 1, true}});
  list("clip", r.clip, {.help = "Largest global norm of the gradients; 0 for none", .range = {0, 1e38}});
  list("label-smoothing", r.label_smoothing,
       {.help = "Share of the targets that all classes have in common", .range = {0, 0.99}});
  list("mixup", r.mixup, {.help = "Alpha of mixup; 0 for none", .range = {0, 1000}});
  list("cutmix", r.cutmix, {.help = "Alpha of cutmix; 0 for none", .range = {0, 1000}});
  list("flip", r.flip, {.help = "Probability that an image is mirrored", .range = {0, 1}});
  list("crop-padding", r.crop_padding,
       {.help = "Black pixels around an image from which a crop is taken", .range = {0, 10000}});
  list("crop-area", r.crop_area,
       {.help = "Least share of a picture that a random crop, resized, takes; 0 for none", .range = {0, 1}});
  list("auto-augment", r.auto_augment,
       {.help = "RandAugment as timm writes it, rand-m9-mstd0.5-inc1; three-augment, 3a; or none"});
  list("color-jitter", r.color_jitter,
       {.help = "Strength of random changes of brightness, contrast and color; not with RandAugment, as in timm",
        .range = {0, 100}});
  list("erase", r.erase, {.help = "Probability that a rectangle of an image becomes noise", .range = {0, 1}});
  list("repeats", r.repeats,
       {.help = "Repeated augmentation: how often an image is in an epoch, of fewer images", .range = {1, 1000}});
  list("crop-fraction", r.crop_fraction,
       {.help = "Share of a resized picture's side that is judged (default: of the model)", .range = {0.01, 1}});
  list("ema", r.ema, {.help = "Decay of an average of the weights; 0 for none", .range = {0, 1, true}});
  list("ema-use", r.ema_use,
       {.help = "Whether the average is evaluated and kept as the weights (judge), or only stored beside them, in "
                "average.safetensors (store)",
        .words = {"judge", "store"}});
  list("log-every", r.log_every, {.help = "Steps between rows of metrics.csv", .range = {1, 1e9}});
  list("accumulate", r.accumulate,
       {.help =
            "Parts that a batch is computed in, to save memory; they divide it. Several ranks share the parts, as many "
            "as there are ranks at least",
        .range = {1, 1000000}});
  list("eval-every", r.eval_every,
       {.help = "Steps, or a time like 10m, between evaluations (default: one after each epoch)"});
  list("checkpoint-every", r.checkpoint_every,
       {.help = "Steps, or a time like 10m, between checkpoints (default: one after each evaluation)",
        .decides = false});
}

Rates rates_of(Recipe const& r) {
  double const factor = r.lr_batch == 0 ? 1 : static_cast<double>(r.batch) / static_cast<double>(r.lr_batch);
  double const others = r.lr_scaling == "all" ? factor : 1;
  return {r.lr * factor, r.min_lr * others, r.warmup_lr * others};
}

LearningRate::LearningRate(Recipe const& r, std::uint64_t steps_per_epoch)
    : constant_(r.schedule == "constant"),
      unit_(r.schedule_by == "epoch" ? static_cast<attn::Index>(steps_per_epoch) : 1),
      late_(r.schedule_late) {
  bool const by_epoch = r.schedule_by == "epoch";
  ATTN_CHECK(!by_epoch || (r.warmup_steps == 0 && r.warmup == std::floor(r.warmup)),
             "--warmup: give whole epochs where the rate changes by epochs, got ", r.warmup);
  double const times_per_epoch = by_epoch ? 1 : static_cast<double>(steps_per_epoch);
  auto const warmup = static_cast<attn::Index>(r.warmup_steps > 0 ? static_cast<long long>(r.warmup_steps)
                                                                  : std::llround(r.warmup * times_per_epoch));
  auto const total = static_cast<attn::Index>(by_epoch ? r.epochs : r.epochs * steps_per_epoch);
  Rates const rates = rates_of(r);
  warmup_ = {.rate = rates.peak, .warmup = warmup, .start = rates.start};
  cosine_ = {.base = rates.peak,
             .total = r.warmup_prefix ? std::max(total - warmup, attn::Index(1)) : total,
             .minimum = rates.minimum,
             .warmup = warmup,
             .start = rates.start,
             .prefix = r.warmup_prefix};
}

double LearningRate::operator()(attn::Index step) const {
  auto const rate = [&]<class Schedule>(Schedule const& schedule) {
    using namespace attn::optim;
    return late_ ? PerEpoch<Late<Schedule>>{{schedule}, unit_}(step) : PerEpoch<Schedule>{schedule, unit_}(step);
  };
  return constant_ ? rate(warmup_) : rate(cosine_);
}

attn::data::Augmentation augmentation_of(Recipe const& recipe) {
  return {.resized_crop = recipe.crop_area > 0,
          .crop = {.scale = {recipe.crop_area > 0 ? recipe.crop_area : 1, 1}},
          .crop_padding = recipe.crop_padding,
          .flip_probability = recipe.flip,
          .auto_augment = recipe.auto_augment,
          .color_jitter = recipe.color_jitter,
          .erase_probability = recipe.erase};
}

attn::data::BatchOptions batch_options(Recipe const& recipe, std::uint64_t seed) {
  return {.batch_size = recipe.batch,
          .key = attn::subkey(attn::RandomKey{.seed = seed}, "batches"),
          .mixing = {.mixup_alpha = recipe.mixup, .cutmix_alpha = recipe.cutmix},
          .smoothing = recipe.label_smoothing,
          .repeats = recipe.repeats};
}

}  // namespace vision
