// Figures 4 and 5: attention matrices of trained weights, averaged over images, and which of softmax's properties they
// break.
#include "attn/train/description.hpp"
#include "attn/train/weights.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

#include "theory/lab.hpp"
#include "theory/training.hpp"
#include "vision/task.hpp"

namespace theory {
namespace {

/// The images of a model: as its weights describe them.
attn::data::Dataset images_for(HeatmapsOptions const& options, io::Json const& description, int wanted) {
  vision::DataSettings settings;
  if (!options.data.empty()) settings.directory = options.data;
  auto const trained = vision::wanted({}, description, /*trains=*/false).trained;
  if (options.data.empty() && description["image"] == io::Json({1, 32, 32})) {  // as `images_of` makes them
    TrainingOptions garments = complete({});
    garments.train_limit = 1;
    garments.test_limit = wanted;
    attn::data::Dataset images = images_of(garments).test;
    if (!trained.mean.empty()) images.normalization = trained;
    return images;
  }
  attn::data::Split split =
      trained.mean.empty() ? vision::load_idx_data(settings) : vision::load_idx_test_data(settings, trained);
  ATTN_CHECK(split.test.count >= std::size_t(wanted), "--samples: there are only ", split.test.count, " test images");
  split.test = attn::data::take(std::move(split.test), std::size_t(wanted));
  bool const padded = description["image"] == io::Json({split.test.channels, 32, 32}) && split.test.height < 32;
  return padded ? pad(std::move(split.test)) : std::move(split.test);
}

/// What is known of one head, over all images and queries.
struct Facts {
  std::vector<double> matrix;  // (tokens, tokens), mean over images
  double row_sum = 0, row_sum_deviation = 0, negative = 0, sparse = 0, entropy = 0, in_image_row = 0, chance = 0;
};

/// `patches_across` patches make a row of the image; token 0 is the class token, which has no place.
void add(Facts& facts, float const* weights, std::size_t n, std::size_t patches_across, double images) {
  std::size_t const patches = n - 1;
  double near = 0, all = 0;
  for (std::size_t i = 0; i < n; ++i) {
    double sum = 0, size = 0, largest = 0, entropy = 0, negative = 0, small = 0;
    for (std::size_t j = 0; j < n; ++j) {
      double const w = weights[i * n + j], x = std::abs(w);
      facts.matrix[i * n + j] += w / images;
      sum += w;
      size += x;
      largest = std::max(largest, x);
      negative += w < 0;
      if (i == 0 || j == 0) continue;
      all += x;
      if ((i - 1) / patches_across == (j - 1) / patches_across) near += x;
    }
    for (std::size_t j = 0; j < n; ++j) {
      double const x = std::abs(double(weights[i * n + j]));
      small += x < 0.01 * largest;
      if (x > 0) entropy -= x / size * std::log(x / size);
    }
    double const share = 1 / (images * double(n));
    facts.row_sum += sum * share;
    facts.row_sum_deviation += sum * sum * share;  // a deviation once the mean is known
    facts.negative += negative / double(n) * share;
    facts.sparse += small / double(n) * share;
    facts.entropy += entropy * share;
  }
  facts.in_image_row += (all > 0 ? near / all : 0) / images;
  facts.chance = double(patches_across) / double(patches);
}

struct Source {
  std::string name;
  std::vector<Facts> heads;  // (layers, heads)
  int layers = 0, heads_of_layer = 0;
  std::size_t tokens = 0;
};

Source look_at(io::Path const& weights, HeatmapsOptions const& options, std::uint64_t seed) {
  auto const found = attn::train::read_description(weights, vision::program_name);
  io::Json const description = found.value_or(io::Json::object());
  ATTN_CHECK(description.contains("image"), "heatmaps: '", weights.string(),
             "' does not describe its model; give weights that train_vision or `theory norms` wrote");
  vision::Settings settings;
  settings.seed = seed;
  io::CommonOptions common;
  io::SettingList list;
  describe(list, common);
  describe(list, settings);
  vision::adopt(list, common, settings, description, "heatmaps: '" + weights.string() + "'");
  attn::data::Dataset const images = images_for(options, description, options.samples);
  vision::Sizes const sizes = vision::model_sizes(
      settings.model,
      {.channels = images.channels, .height = images.height, .width = images.width, .classes = images.classes});
  vision::Context ctx(seed);
  auto const model = vision::make_classifier(ctx, settings.activation, sizes);
  attn::train::load_weights(weights, ctx);
  ctx.training = false;

  auto const across = static_cast<std::size_t>(sizes.image.width / sizes.patch.width);
  std::size_t const n = across * static_cast<std::size_t>(sizes.image.height / sizes.patch.height) + 1;
  int const depth = sizes.depth.total(), heads = sizes.heads.first();
  Source source{.name = settings.activation.name(), .heads = {}, .layers = depth, .heads_of_layer = heads, .tokens = n};
  source.heads.resize(std::size_t(depth * heads));
  for (Facts& facts : source.heads) facts.matrix.assign(n * n, 0);
  attn::data::EvaluationBatches<float> batches(images, 1);
  while (auto const* batch = batches.next()) {
    ctx.begin_step();
    auto const layers = model->attention(ctx, attn::data::on_device(ctx, batch->images()));
    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
      for (std::size_t head = 0; head < std::size_t(heads); ++head) {
        add(source.heads[layer * std::size_t(heads) + head], layers[layer].weights.data() + head * n * n, n, across,
            double(images.count));
      }
    }
  }
  for (Facts& facts : source.heads) {
    facts.row_sum_deviation = std::sqrt(std::max(0.0, facts.row_sum_deviation - facts.row_sum * facts.row_sum));
  }
  return source;
}

}  // namespace

void run_heatmaps(attn::io::CommonOptions const& common, HeatmapsOptions const& options) {
  ATTN_CHECK(!common.weights.empty(), "heatmaps: give --weights, and others to compare with --beside");
  std::vector<io::Path> files = {common.weights};
  files.insert(files.end(), options.beside.begin(), options.beside.end());
  std::vector<Source> sources;
  for (io::Path const& file : files) sources.push_back(look_at(file, options, common.seed));
  int layers = sources[0].layers, heads = sources[0].heads_of_layer;
  for (Source const& source : sources) {
    layers = std::min(layers, source.layers);
    heads = std::min(heads, source.heads_of_layer);
  }
  std::vector<int> chosen = options.layers;
  if (chosen.empty()) chosen = layers > 2 ? std::vector{2, layers} : std::vector{layers};
  for (int const layer : chosen) {
    ATTN_CHECK(layer >= 1 && layer <= layers, "--layers: choose among 1 to ", layers, ", got ", layer);
  }
  for (int const head : options.heads) {
    ATTN_CHECK(head >= 1 && head <= heads, "--heads: choose among 1 to ", heads, ", got ", head);
  }
  Lab lab(common.out, "heatmaps");
  lab.set("samples", double(options.samples));
  Table table{.columns = {"activation", "layer", "head", "row_sum", "row_sum_deviation", "negative_share",
                          "below_1_percent_share", "entropy", "in_image_row", "by_chance"}};
  for (Source const& source : sources) {
    for (int layer = 1; layer <= source.layers; ++layer) {
      for (int head = 1; head <= source.heads_of_layer; ++head) {
        Facts const& f = source.heads[std::size_t((layer - 1) * source.heads_of_layer + head - 1)];
        table.rows.push_back({source.name, double(layer), double(head), f.row_sum, f.row_sum_deviation, f.negative,
                              f.sparse, f.entropy, f.in_image_row, f.chance});
      }
    }
  }
  lab.write("properties", table);
  for (int const layer : chosen) {
    for (int const head : options.heads) {
      io::Figure figure{.title = "Layer " + std::to_string(layer) + ", head " + std::to_string(head) + ", mean of " +
                                 std::to_string(options.samples) + " images",
                        .columns = int(sources.size()),
                        .panel_width = 500,
                        .panel_height = 420};
      for (Source const& source : sources) {
        Facts const& f = source.heads[std::size_t((layer - 1) * source.heads_of_layer + head - 1)];
        figure.panels.push_back(io::HeatMap{.title = source.name + ": weight",
                                            .x_label = "key (token)",
                                            .y_label = "query (token)",
                                            .rows = source.tokens,
                                            .columns = source.tokens,
                                            .values = f.matrix,
                                            .colors = io::Colors::diverging});
        Table matrix;
        for (std::size_t j = 0; j < source.tokens; ++j) matrix.columns.push_back("key_" + std::to_string(j));
        for (std::size_t i = 0; i < source.tokens; ++i) {
          matrix.rows.emplace_back(f.matrix.begin() + std::ptrdiff_t(i * source.tokens),
                                   f.matrix.begin() + std::ptrdiff_t((i + 1) * source.tokens));
        }
        std::size_t const number = std::size_t(&source - sources.data()) + 1;
        lab.write("layer" + std::to_string(layer) + "_head" + std::to_string(head) + "_" + std::to_string(number),
                  matrix);
      }
      lab.draw("layer" + std::to_string(layer) + "_head" + std::to_string(head), figure);
    }
  }
  lab.finish(table);
  print(table);
}

}  // namespace theory
