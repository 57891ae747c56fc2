#include "detection/training.hpp"

#include "attn/data/image_files.hpp"
#include "attn/detection/coco_json.hpp"
#include "attn/detection/coco_writer.hpp"
#include "attn/io/curve.hpp"
#include "attn/io/output_directory.hpp"
#include "attn/io/plot.hpp"
#include "attn/io/results.hpp"
#include "attn/optim/adamw.hpp"
#include "attn/train/description.hpp"
#include "attn/train/fit.hpp"
#include "attn/train/weights.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "commit.hpp"
#include "detection/drawing.hpp"
#include "detection/task.hpp"

namespace train_detection {
namespace {

constexpr char const* program_name = "train_detection";

/// A thousandth of the rate at first, growing over `warmup` steps; a tenth after each of the decays, counted in steps.
struct StepDecay {
  double rate;
  Index warmup;
  std::vector<Index> decays;

  double operator()(Index t) const {
    double now = rate;
    for (Index const decay : decays) now *= t >= decay ? 0.1 : 1;
    return t < warmup ? now * (0.001 + 0.999 * double(t) / double(warmup)) : now;
  }
};

std::vector<Index> sides(std::vector<int> const& numbers) { return {numbers.begin(), numbers.end()}; }

detection::PictureSizes train_sizes(DataSettings const& d) {
  return {.short_sides = sides(d.sides),
          .most_long_side = d.most_side,
          .crop_sides = sides(d.crop_sides),
          .least_crop = d.least_crop,
          .most_crop = d.most_crop,
          .crops = d.crops};
}

void keep_first(detection::CocoAnnotations& coco, std::size_t limit) {
  if (limit == 0 || coco.images.size() <= limit) return;
  coco.images.resize(limit);
  std::erase_if(coco.annotations, [&](auto const& a) { return detection::index_of_id(coco.images, a.image) < 0; });
}

Pictures load(Settings const& s, bool trains) {
  ATTN_CHECK(!s.data.folder.empty(), "--data: name a folder in COCO's layout");
  std::string const name = trains ? "train2017" : "val2017";
  Pictures pictures;
  pictures.coco = std::make_unique<detection::CocoAnnotations>(
      detection::read_coco_annotations(s.data.folder / "annotations" / ("instances_" + name + ".json")));
  for (auto const& note : pictures.coco->notes.all()) std::printf("note: %s: %s\n", name.c_str(), note.text().c_str());
  keep_first(*pictures.coco, trains ? s.data.limit : s.data.val_limit);
  for (auto const& a : pictures.coco->annotations) {
    ATTN_CHECK(!a.segmentation.empty(), "--data: ", name, ": annotation ", a.id,
               " has no segmentation, from which masks are learned");
  }
  pictures.images = std::make_unique<detection::CocoImages>(
      *pictures.coco, s.data.folder / name,
      detection::CocoImagesOptions{
          .sizes = trains ? train_sizes(s.data) : detection::evaluation_sizes(s.data.test_side, s.data.test_most_side),
          .for_training = trains,
          .unreadable = trains ? pictures.unreadable.get() : nullptr});
  std::printf("%s: %zu of %zu pictures, %zu objects of %zu categories\n", name.c_str(), pictures.images->size(),
              pictures.coco->images.size(), pictures.coco->annotations.size(), pictures.coco->categories.size());
  return pictures;
}

io::Json categories_of(detection::CocoAnnotations const& coco) {
  io::Json list = io::Json::array();
  for (auto const& category : coco.categories) list.push_back({{"id", category.id}, {"name", category.name}});
  return list;
}

/// The categories that weights know.
std::vector<detection::CocoCategory> categories_from(io::Json const& description, io::Path const& file) {
  std::vector<detection::CocoCategory> categories;
  for (io::Json const& c : description.value("categories", io::Json::array())) {
    bool const good =
        c.is_object() && c.contains("id") && c["id"].is_number_integer() && c.contains("name") && c["name"].is_string();
    ATTN_CHECK(good, "--weights: '", file.string(), "' describes its categories wrongly: use id and name, got ",
               c.dump());
    categories.push_back({c["id"].get<std::int64_t>(), c["name"].get<std::string>()});
  }
  return categories;
}

/// Weights with what they say of themselves: the settings are theirs then.
io::Json take_description(io::Path const& file, std::optional<io::Json> const& description, Settings& s,
                          io::SettingList& list) {
  if (!description) return {};
  list.adopt(*description, "'" + file.string() + "'");
  if (auto const found = description->find("classes"); found != description->end() && found->is_number_integer()) {
    s.model.classes = found->get<int>();
  }
  return *description;
}

void check_categories(detection::CocoAnnotations const& coco, io::Json const& description, io::Path const& file) {
  auto const known = categories_from(description, file);
  bool same = known.size() == coco.categories.size();
  for (std::size_t i = 0; same && i < known.size(); ++i) same = known[i].id == coco.categories[i].id;
  ATTN_CHECK(known.empty() || same, "--weights: '", file.string(), "' know ", known.size(),
             " categories, which are not the ", coco.categories.size(), " of --data");
}

void figures_of(detection::CocoAnnotations const& coco, detection::CocoResults const& results, io::Json& run) {
  auto const judge = [&](char const* kind, char const* things, detection::CocoRegion region) {
    auto const evaluation = detection::evaluate_coco(coco, results, region);
    std::printf("\n%s (%s)\n%s", things, kind, detection::coco_table(evaluation.figures).c_str());
    run[kind] = evaluation.figures;
    io::Json categories = io::Json::array();
    for (std::size_t i = 0; i < coco.categories.size(); ++i) {
      categories.push_back({{"name", coco.categories[i].name}, {"ap", evaluation.category_precision[i]}});
    }
    run[std::string(kind) + "_categories"] = categories;
  };
  judge("bbox", "boxes", detection::CocoRegion::box);
  judge("segm", "masks", detection::CocoRegion::mask);
}

void write_results(io::OutputDirectory const& out, io::Json const& run) {
  io::Json json = {{"machine", io::describe_machine()}, {"commit", built_from_commit}};
  json.update(run);
  io::write_file(out / "results.json", json.dump(2, ' ', false, io::Json::error_handler_t::replace) + "\n");
}

void draw_curves(io::Path const& out, std::string const& title) {
  io::CsvTable const table = io::read_csv(attn::train::metrics_path(out));
  auto const plot = [&](char const* label, std::vector<std::string> const& columns) {
    io::LinePlot plot{.title = title, .x_label = "epoch", .y_label = label};
    for (std::string const& column : columns) plot.series.push_back(io::curve(table, "epoch", column, column));
    return plot;
  };
  io::try_save_figure(out / "losses.png", {.panels = {plot("loss", {"loss", "loss_anchor_class", "loss_anchor_box",
                                                                    "loss_class", "loss_box", "loss_mask"})},
                                           .panel_width = 800,
                                           .panel_height = 480});
  io::try_save_figure(out / "precision.png",
                      {.panels = {plot("average precision", {"box_ap", "box_ap50", "mask_ap", "mask_ap50"})},
                       .panel_width = 800,
                       .panel_height = 480});
}

std::string title_of(ModelSettings const& m) {
  return m.name + ", " + m.activation + (m.is_poly() ? std::to_string(m.power) + " " + m.scale : "");
}

void say_unreadable(attn::data::UnreadableImages const& images) {
  if (images.count() == 0) return;
  std::cerr << images.count() << " pictures could not be read, the first because: " << images.first_fault()
            << std::endl;
}

void load_whole(io::Path const& file, Context& ctx) {
  auto const report = attn::train::load_weights(file, ctx, {.adapt = true});
  for (std::string const& sentence : report.adapted) std::cerr << "weights: " << sentence << std::endl;
}

}  // namespace

int train(Settings& s, io::SettingList& list) {
  ATTN_CHECK(s.weights.empty() || s.backbone_weights.empty(),
             "--backbone-weights: leave out --weights, which have a backbone");
  ATTN_CHECK(!s.resume || (s.weights.empty() && s.backbone_weights.empty()),
             "--resume: leave out --weights and --backbone-weights, the checkpoint has them");
  ATTN_CHECK(s.recipe.batch % s.recipe.accumulate == 0, "--accumulate: give a divisor of the batch of ", s.recipe.batch,
             ", got ", s.recipe.accumulate);
  if (s.resume) {
    take_description(attn::train::checkpoint_path(s.out), attn::train::read_run_description(s.out, program_name), s,
                     list);
  }
  if (!s.weights.empty()) {
    take_description(s.weights, attn::train::read_description(s.weights, program_name), s, list);
  }
  io::OutputDirectory const out(s.out);
  Pictures const train = load(s, true), val = load(s, false);
  s.model.classes = int(train.coco->categories.size());
  bool same = train.coco->categories.size() == val.coco->categories.size();
  for (std::size_t i = 0; same && i < val.coco->categories.size(); ++i) {
    same = train.coco->categories[i].id == val.coco->categories[i].id;
  }
  ATTN_CHECK(same, "--data: train2017 and val2017 list other categories");
  Context ctx(s.seed);
  Detector const detector(ctx, s.model, s.recipe);
  if (!s.weights.empty()) load_whole(s.weights, ctx);
  if (!s.backbone_weights.empty()) load_backbone(s.backbone_weights, ctx);
  DetectionTask task(ctx, detector, train, val, s);

  io::Json run = {{"name", title_of(s.model)}, {"parameters", ctx.parameters.count()}};
  io::Json decides = io::Json::object(), description = io::Json::object();
  list.write(decides);
  list.write_model(description);
  decides["train_pictures"] = train.images->size();
  decides["val_pictures"] = val.images->size();
  description["classes"] = s.model.classes;
  description["categories"] = categories_of(*train.coco);
  run.update(decides);
  auto const steps = Index(task.steps_per_epoch());
  StepDecay schedule{s.recipe.lr, Index(s.recipe.warmup), {}};
  for (std::uint64_t const epoch : s.recipe.decay_epochs) schedule.decays.push_back(Index(epoch) * steps);
  attn::optim::AdamW adamw(ctx, {.weight_decay = s.recipe.weight_decay});
  attn::train::StopRequest const stop;
  auto const result = attn::train::fit(ctx, task, adamw, schedule,
                                       {.epochs = s.recipe.epochs,
                                        .clip = s.recipe.clip,
                                        .accumulate = s.recipe.accumulate,
                                        .log_every = s.recipe.log_every,
                                        .evaluate = s.recipe.eval_every,
                                        .checkpoint = s.recipe.checkpoint_every,
                                        .out = s.out,
                                        .resume = s.resume,
                                        .settings = decides,
                                        .later_settings = {{"precision", "fp32"}},
                                        .metadata = attn::train::describe_model(program_name, description),
                                        .label = title_of(s.model),
                                        .stop = &stop});
  if (train.unreadable->count() > 0) run["unreadable_images"] = train.unreadable->count();
  say_unreadable(*train.unreadable);
  if (result.interrupted) {
    std::cerr << "stopped after step " << result.steps << "; the same command with --resume continues" << std::endl;
    return stop.exit_code();
  }
  for (auto const& [name, value] : result.training) run[name == "loss" ? "train_loss" : name] = value;
  for (auto const& [name, value] : result.evaluation) run[name] = value;
  run["steps"] = result.steps;
  run["seconds"] = result.seconds;
  run["images_per_second"] = double(result.steps * s.recipe.batch) / result.seconds;
  if (task.results().results.empty()) task.evaluate(ctx);  // a complete run was resumed
  figures_of(*val.coco, task.results(), run);
  detection::write_coco_results(out / "detections.json", task.results().results);
  draw_some(*val.coco, task.results(), s.data.folder / "val2017", out / "pictures", s.score, 12);
  write_results(out, run);
  draw_curves(s.out, title_of(s.model));
  return 0;
}

void judge(Settings& s, io::SettingList& list) {
  io::OutputDirectory const out(s.out);
  out.without_run();
  io::Json const description =
      take_description(s.weights, attn::train::read_description(s.weights, program_name), s, list);
  Pictures const val = load(s, false);
  if (s.model.classes == 0) s.model.classes = int(val.coco->categories.size());
  check_categories(*val.coco, description, s.weights);
  Context ctx(s.seed);
  Detector const detector(ctx, s.model, s.recipe);
  load_whole(s.weights, ctx);
  auto const results = find(ctx, detector, *val.images, 0, val.images->size());
  io::Json run = {{"name", title_of(s.model)}, {"weights", s.weights.string()}, {"parameters", ctx.parameters.count()}};
  figures_of(*val.coco, results, run);
  detection::write_coco_results(out / "detections.json", results.results);
  draw_some(*val.coco, results, s.data.folder / "val2017", out / "pictures", s.score, 12);
  write_results(out, run);
}

void predict(Settings& s, io::SettingList& list) {
  io::OutputDirectory const out(s.out);
  out.without_run();
  io::Json const description =
      take_description(s.weights, attn::train::read_description(s.weights, program_name), s, list);
  attn::data::ImageFiles const files = attn::data::list_pictures(s.predict);
  detection::CocoAnnotations coco;
  coco.categories = categories_from(description, s.weights);
  for (std::size_t i = 0; i < files.size(); ++i) {
    std::string const stem = io::Path(files.names[i]).stem().string();
    bool const is_number =
        !stem.empty() && stem.size() < 18 && stem.find_first_not_of("0123456789") == std::string::npos;
    coco.images.push_back({is_number ? std::stoll(stem) : -1, files.names[i]});
  }
  // COCO's files are called by their ids; others are numbered.
  std::stable_sort(coco.images.begin(), coco.images.end(), [](auto const& a, auto const& b) { return a.id < b.id; });
  bool are_ids = coco.images[0].id >= 0;
  for (std::size_t i = 1; i < coco.images.size(); ++i) are_ids = are_ids && coco.images[i].id > coco.images[i - 1].id;
  for (std::size_t i = 0; !are_ids && i < coco.images.size(); ++i) coco.images[i].id = std::int64_t(i) + 1;
  if (s.model.classes == 0) s.model.classes = 80;
  for (auto i = std::int64_t(coco.categories.size()); i < s.model.classes; ++i) {
    coco.categories.push_back({i + 1, "class " + std::to_string(i + 1)});
  }
  Context ctx(s.seed);
  Detector const detector(ctx, s.model, s.recipe);
  load_whole(s.weights, ctx);
  detection::CocoImages const images(
      coco, s.predict,
      {.sizes = detection::evaluation_sizes(s.data.test_side, s.data.test_most_side), .for_training = false});
  attn::data::UnreadableImages unreadable;
  auto const results = find(ctx, detector, images, 0, images.size(), &unreadable);
  detection::write_coco_results(out / "predictions.json", results.results);
  draw_some(coco, results, s.predict, out / "pictures", s.score, images.size());
  say_unreadable(unreadable);
  std::printf("%zu objects in %zu pictures: %s\n", results.results.size(), images.size() - unreadable.count(),
              (out / "predictions.json").string().c_str());
}

}  // namespace train_detection
