#include "theory/training.hpp"

#include "attn/io/failed_run.hpp"

#include <algorithm>
#include <cstdio>

namespace theory {
namespace {

constexpr std::size_t side = 32;

TrainingOptions const quick{.width = 32,
                            .depth = 4,
                            .heads = 1,
                            .epochs = 1,
                            .train_limit = 10000,
                            .test_limit = 2000,
                            .batch = 32,
                            .lr = 3e-3,
                            .seeds = 1,
                            .data = {},
                            .insist = false};
TrainingOptions const full{.preset = "full",
                           .width = 192,
                           .depth = 12,
                           .heads = 3,
                           .epochs = 20,
                           .train_limit = 60000,
                           .test_limit = 10000,
                           .batch = 64,
                           .lr = 1e-3,
                           .seeds = 3,
                           .data = {},
                           .insist = false};

}  // namespace

attn::data::Dataset pad(attn::data::Dataset dataset) {
  ATTN_CHECK(dataset.height <= side && dataset.width <= side, "--data: give images of at most 32 x 32, not ",
             dataset.height, " x ", dataset.width);
  std::vector<std::uint8_t> images(dataset.count * dataset.channels * side * side, 0);
  std::size_t const top = (side - dataset.height) / 2, left = (side - dataset.width) / 2;
  for (std::size_t plane = 0; plane < dataset.count * dataset.channels; ++plane) {
    for (std::size_t y = 0; y < dataset.height; ++y) {
      std::copy_n(dataset.images.begin() + static_cast<std::ptrdiff_t>((plane * dataset.height + y) * dataset.width),
                  dataset.width, images.begin() + static_cast<std::ptrdiff_t>((plane * side + y + top) * side + left));
    }
  }
  dataset.images = std::move(images);
  dataset.height = dataset.width = side;
  return dataset;
}

TrainingOptions complete(TrainingOptions options) {
  TrainingOptions const& preset = options.preset == "quick" ? quick : full;
  auto const fill = [&](auto TrainingOptions::*field) {
    if (options.*field == 0) options.*field = preset.*field;
  };
  for (auto const field : {&TrainingOptions::width, &TrainingOptions::depth, &TrainingOptions::heads,
                           &TrainingOptions::epochs, &TrainingOptions::train_limit, &TrainingOptions::test_limit,
                           &TrainingOptions::batch, &TrainingOptions::seeds}) {
    fill(field);
  }
  fill(&TrainingOptions::lr);
  return options;
}

attn::data::Split padded_images(TrainingOptions const& options) {
  vision::DataSettings settings;
  if (!options.data.empty()) settings.directory = options.data;
  attn::data::Split split = vision::load_idx_data(settings);
  auto const cut = [](attn::data::Dataset& part, int limit) {
    std::size_t const count = limit > 0 ? std::min(part.count, static_cast<std::size_t>(limit)) : part.count;
    part = pad(attn::data::take(std::move(part), count));
  };
  cut(split.train, options.train_limit);
  cut(split.test, options.test_limit);
  split.train.normalization = attn::data::channel_statistics(split.train);
  split.test.normalization = split.train.normalization;
  return split;
}

void note(Lab& lab, TrainingOptions const& options, attn::data::Split const& data) {
  for (auto const& [name, value] : {std::pair{"width", options.width},
                                    {"depth", options.depth},
                                    {"heads", options.heads},
                                    {"epochs", options.epochs},
                                    {"batch", options.batch},
                                    {"seeds", options.seeds}}) {
    lab.set(name, double(value));
  }
  lab.set("train_images", double(data.train.count));
  lab.set("test_images", double(data.test.count));
  lab.set("lr", options.lr);
}

vision::Extent patch_for(int tokens) {
  switch (tokens) {
    case 256:
      return {2, 2};
    case 64:
      return {4, 4};
    case 16:
      return {8, 8};
    case 8:
      return {8, 16};
    default:
      ATTN_CHECK(false, "--tokens: choose among 8, 16, 64 and 256, got ", tokens);
  }
  return {};
}

vision::Settings settings_of(TrainingOptions const& o, vision::ActivationChoice const& activation, int tokens,
                             std::uint64_t seed) {
  vision::Settings settings;
  settings.activation = activation;
  settings.seed = seed;
  settings.insist = o.insist;
  settings.model.patch = patch_for(tokens);
  settings.model.width = o.width;
  settings.model.depth = o.depth;
  settings.model.heads = o.heads;
  settings.recipe.epochs = static_cast<std::uint64_t>(o.epochs);
  settings.recipe.batch = static_cast<std::size_t>(o.batch);
  settings.recipe.lr = o.lr;
  return settings;
}

Run train(vision::Settings const& settings, attn::data::Split const& data, attn::io::Path const& out) {
  vision::Settings mine = settings;
  mine.recipe.batch = std::min(mine.recipe.batch, data.train.count);
  attn::io::OutputDirectory const lock(out);
  attn::train::StopRequest const stop;
  try {
    Run run{.outcome = vision::train(mine, vision::in_memory(data, mine.recipe), {.out = out, .stop = &stop})};
    if (run.outcome.interrupted) throw attn::io::FailedRun("interrupted; the runs that were complete are in --out");
    run.accuracy = run.outcome.run["test_accuracy"].get<double>();
    return run;
  } catch (attn::io::FailedRun const& failure) {
    if (stop.requested()) throw;
    std::fprintf(stderr, "%s: %s\n", settings.activation.name().c_str(), failure.what());
    return {.accuracy = 1.0 / std::max(1, data.train.classes), .diverged = true};
  }
}

}  // namespace theory
