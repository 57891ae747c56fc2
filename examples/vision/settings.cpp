#include "vision/settings.hpp"

#include <cmath>
#include <utility>

namespace vision {
namespace {

void describe(io::SettingList& list, Tuning& t) {
  list.group("Fine-tuning and distillation");
  list("freeze", t.freeze, {.help = "Patterns of names of parameters that are not trained: blocks.0.*, patch_embed.*"});
  list("layer-decay", t.layer_decay,
       {.help = "Factor of the learning rate from each layer to the one before; 1: the same for all", .range = {0, 1}});
  list("teacher", t.teacher,
       {.help = "Logits of a teacher for the training images in their order: a .npy file (images, classes)",
        .file = true});
  list("distillation", t.distillation,
       {.help = "What is learned from the teacher: its answers (hard), or its probabilities (soft)",
        .words = {"hard", "soft"}});
  list("teacher-share", t.teacher_share, {.help = "Share of the loss that the teacher has", .range = {0, 1}});
  list("temperature", t.temperature,
       {.help = "By which logits are divided before they are compared with a soft teacher's", .range = {0.01, 1000}});
}

}  // namespace

void describe(io::SettingList& list, Settings& settings) {
  describe(list, settings.model);
  list("scale-keys", settings.scale_keys,
       {.help =
            "Keys N in the scale 1/sqrt(N) of poly, instead of those of each matrix: 196 is the paper's for Swin and "
            "XCiT, too; 0: those of the matrix",
        .range = {0, 1e9}});
  describe(list, settings.recipe);
  list("precision", settings.precision,
       {.help = "Numbers between layers: fp32, or bf16 with sums, weights, losses and optimizer in fp32 (default: that "
                "of --weights, else fp32)",
        .words = {"fp32", "bf16"}});
  describe(list, settings.data);
  describe(list, settings.tuning);
  describe(list, settings.sharing);
}

void check(Settings const& settings) {
  Recipe const& r = settings.recipe;
  ATTN_CHECK(r.batch % r.accumulate == 0, "--accumulate: give a divisor of the batch of ", r.batch, ", got ",
             r.accumulate);
  ATTN_CHECK(settings.tuning.layer_decay > 0, "--layer-decay: give a factor above 0");
}

Sizes sizes_of(Settings const& settings, attn::data::ImageShape const& like) {
  Sizes sizes = model_sizes(settings.model, like);
  sizes.scale_keys = settings.scale_keys;
  sizes.bf16 = settings.precision == "bf16";
  return sizes;
}

io::Json results_of(Settings settings, Sizes const& sizes, ImageData const& data) {
  ActivationChoice const& a = settings.activation;
  io::Json run = {{"name", a.name()},
                  {"activation", a.activation},
                  {"power", a.is_poly() ? io::Json(a.power) : io::Json(nullptr)},
                  {"scale", a.is_poly() ? a.scale : "none"},
                  {"factor", a.is_poly() && a.factor != 0 ? io::Json(a.factor) : io::Json(nullptr)},
                  {"seed", settings.seed},
                  {"scale_per_head", nullptr},  // these have their places and get their values below
                  {"image", {sizes.channels, sizes.image.height, sizes.image.width}},
                  {"classes", nullptr},
                  {"family", nullptr},
                  {"patch", nullptr},
                  {"width", nullptr},
                  {"depth", nullptr},
                  {"heads", nullptr},
                  {"mlp_ratio", nullptr},
                  {"pool", nullptr},
                  {"drop", nullptr},
                  {"drop_path", nullptr},
                  {"train_images", data.train ? data.train->size() : 0},
                  {"test_images", data.test->size()}};
  say(settings.model, sizes);
  settings.data.classes = sizes.classes;
  io::SettingList list;
  describe(list, settings);
  list.write(run);
  run["recipe"] = settings.recipe_name.empty() ? io::Json(nullptr) : io::Json(settings.recipe_name);
  return run;
}

io::Json checkpoint_settings(io::Json run) {
  run.erase("recipe");  // what it set is there
  Settings unsaid;
  io::SettingList list;
  describe(list, unsaid);
  for (char const* const name : {"accumulate",        "eval-every",    "family",      "window",        "layer-scale",
                                 "scale-keys",        "warmup-steps",  "schedule-by", "schedule-late", "warmup-prefix",
                                 "lr-batch",          "lr-scaling",    "crop-area",   "auto-augment",  "repeats",
                                 "crop-fraction",     "ema-use",       "precision",   "distilled",     "no-qkv-bias",
                                 "no-class-position", "class-softmax", "freeze",      "layer-decay",   "teacher",
                                 "distillation",      "teacher-share", "temperature"}) {
    auto const& setting = list.at(name);
    auto const field = run.find(setting.field());
    bool const as_ever =
        field != run.end() && (*field == setting.json() || (setting.field() == "family" && *field == "vit"));
    if (as_ever) run.erase(field);
  }
  return run;
}

void take_activation(io::CommonOptions const& common, Settings& settings) {
  ActivationChoice& chosen = settings.activation;
  chosen = {common.activation, common.power, common.scale, chosen.factor};
  bool const counts = settings.scale_keys > 0 && chosen.is_poly() && common.scale == "fixed";
  if (counts) chosen.factor = 1 / std::sqrt(static_cast<double>(settings.scale_keys));
}

void adopt(io::SettingList& list, io::CommonOptions const& common, Settings& settings, io::Json const& description,
           std::string const& source) {
  name_sizes(list, settings.model);
  io::adopt(list, description, source);
  if (!settings.model.family) settings.model.family = "vit";  // weights from before there were others
  take_activation(common, settings);
  io::Json const precision = description.value("precision", io::Json("fp32"));
  ATTN_CHECK(precision == "fp32" || precision == "bf16", source,
             " describes its precision wrongly: use fp32 or bf16, got ", precision.dump());
  if (!list.given("precision")) settings.precision = precision.get<std::string>();
  io::Json const factor = description.value("factor", io::Json(nullptr));
  if (factor.is_null() || list.given("scale") || list.given("scale-keys")) return;
  double const number = factor.is_number() ? factor.get<double>() : NAN;
  ATTN_CHECK(std::isfinite(number), source, " describes its factor wrongly: use a number, got ", factor.dump());
  settings.activation.factor = number;
}

}  // namespace vision
