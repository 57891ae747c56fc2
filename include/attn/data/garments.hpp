/// Canvases with several garments of Fashion-MNIST, and labels that say how these stand to one another: data on which
/// attention matters by construction.
///
/// In each relation the label cannot be told from the cells one by one: a network that adds up what it finds in each
/// (a bag of patches, transformers without attention) can at best guess among the garments that it has counted.
#pragma once

#include "attn/core/random.hpp"
#include "attn/data/dataset.hpp"
#include "attn/data/distributions.hpp"
#include "attn/data/idx.hpp"
#include "attn/data/resample.hpp"

#include <algorithm>
#include <utility>

namespace attn::data {

/// What the label of a canvas says.
enum class GarmentRelation {
  ground,  ///< the first cell is empty; its ground is that of one other cell, whose kind of garment is the label
  place,   ///< the kind of garment in the first cell says which other cell is meant, whose kind of garment is the label
  pair     ///< which two cells hold garments of one kind: (0, 1), (0, 2), ... (1, 2), ...; the others differ
};

/// What is drawn on a canvas.
struct GarmentOptions {
  int rows = 2, columns = 2;  ///< cells of the canvas, a garment in each
  int cell = 16;              ///< side of a cell in pixels
  int garment = 14;           ///< side of a garment, in the middle of its cell
  GarmentRelation relation = GarmentRelation::ground;
  std::vector<int> kinds = {1, 5, 2, 8};  ///< classes of the source: trousers, sandals, pullovers, bags
  double contrast = 0.4;                  ///< of garments; where relations are of grounds, these take up the rest

  int cells() const { return rows * columns; }
  int classes() const {
    return relation == GarmentRelation::pair ? cells() * (cells() - 1) / 2 : static_cast<int>(kinds.size());
  }
};

/// What stands in each cell: the number of its kind in `GarmentOptions::kinds` (-1: none) and of its ground.
struct GarmentScene {
  std::vector<int> kinds, grounds;
  int label = 0;
};

/// Throws unless there is such a relation on such a canvas.
inline void check(GarmentOptions const& o, char const* name) {
  ATTN_CHECK(o.rows > 0 && o.columns > 0 && o.cells() >= 3 && o.cells() <= 1024, name,
             ": give a canvas of 3 to 1024 cells, got ", o.rows, " x ", o.columns);
  ATTN_CHECK(o.garment > 0 && o.garment <= o.cell && o.cell <= 1024, name,
             ": give garments that fit their cells of at most 1024 pixels, got ", o.garment, " in ", o.cell);
  ATTN_CHECK(o.contrast > 0 && o.contrast <= 1, name, ": give a contrast above 0 and up to 1, got ", o.contrast);
  int const kinds = static_cast<int>(o.kinds.size());
  int const wanted = o.relation == GarmentRelation::ground ? 2 : o.cells() - 1;
  ATTN_CHECK(kinds >= wanted && o.classes() <= 256, name, ": give at least ", wanted,
             " kinds and at most 256 classes, got ", kinds, " and ", o.classes());
}

namespace detail {

/// 0 ... n-1 in any order.
inline std::vector<int> any_order(Draws& draws, int n) {
  std::vector<int> all;
  for (int i = 0; i < n; ++i) all.push_back(i);
  for (int i = n - 1; i > 0; --i) std::swap(all[std::size_t(i)], all[std::size_t(draws.integer(i + 1))]);
  return all;
}

}  // namespace detail

/// Draws what stands where. Labels are equally frequent, and independent of what any one cell holds, but for `ground`
/// and `place`, where it is more often the kind of a garment that is there than of one that is not.
inline GarmentScene draw_garment_scene(GarmentOptions const& options, RandomKey key) {
  int const n = options.cells(), kinds = static_cast<int>(options.kinds.size());
  Draws draws(key);
  GarmentScene scene{std::vector<int>(std::size_t(n)), std::vector<int>(std::size_t(n), 0), 0};
  if (options.relation == GarmentRelation::pair) {
    scene.label = static_cast<int>(draws.integer(options.classes()));
    int first = 0, second = scene.label;
    for (; second >= n - 1 - first; ++first) second -= n - 1 - first;
    second += first + 1;
    auto const order = detail::any_order(draws, kinds);
    std::size_t next = 1;
    for (int i = 0; i < n; ++i) scene.kinds[std::size_t(i)] = order[i == first || i == second ? 0 : next++];
    return scene;
  }
  int const meant = 1 + static_cast<int>(draws.integer(n - 1));
  for (int i = 1; i < n; ++i) scene.kinds[std::size_t(i)] = static_cast<int>(draws.integer(kinds));
  scene.label = scene.kinds[std::size_t(meant)];
  if (options.relation == GarmentRelation::place) {
    scene.kinds[0] = meant - 1;
    return scene;
  }
  auto const grounds = detail::any_order(draws, n - 1);
  std::copy(grounds.begin(), grounds.end(), scene.grounds.begin() + 1);
  scene.grounds[0] = scene.grounds[std::size_t(meant)];
  scene.kinds[0] = -1;
  return scene;
}

/// Adds a grey picture, times `contrast`, to a canvas with its upper left corner at (top, left); what lies outside is
/// cut off.
inline void add_picture(Image& canvas, Image const& picture, int top, int left, double contrast) {
  for (int y = std::max(0, -top); y < int(picture.height) && y + top < int(canvas.height); ++y) {
    for (int x = std::max(0, -left); x < int(picture.width) && x + left < int(canvas.width); ++x) {
      std::uint8_t& pixel = *canvas.at(std::size_t(y + top), std::size_t(x + left));
      double const sum = pixel + contrast * *picture.at(std::size_t(y), std::size_t(x));
      pixel = static_cast<std::uint8_t>(std::min(255.0, sum + 0.5));
    }
  }
}

/// The grey level of a ground: black where there is one, else evenly up to what garments leave.
inline int ground_level(GarmentOptions const& options, int ground) {
  int const grounds = options.relation == GarmentRelation::ground ? options.cells() - 1 : 1;
  return grounds < 2 ? 0 : static_cast<int>(255 * (1 - options.contrast) * ground / (grounds - 1));
}

/// `count` canvases of garments that are drawn from `source`, grey images with the classes that `options.kinds` names;
/// the same bits from the same key. The classes have the names of kinds. O(count x pixels of a canvas).
inline Dataset compose_garments(Dataset const& source, std::size_t count, GarmentOptions const& options,
                                RandomKey key) {
  check(options, "compose_garments");
  ATTN_CHECK(source.channels == 1, "compose_garments: give grey images, not of ", source.channels, " channels");
  std::vector<std::vector<std::size_t>> of_kind;
  Dataset result{.count = count,
                 .channels = 1,
                 .height = std::size_t(options.rows * options.cell),
                 .width = std::size_t(options.columns * options.cell),
                 .classes = options.classes()};
  for (int const kind : options.kinds) {
    auto& found = of_kind.emplace_back();
    for (std::size_t i = 0; i < source.count; ++i) {
      if (source.labels[i] == kind) found.push_back(i);
    }
    ATTN_CHECK(!found.empty(), "compose_garments: give kinds that there are images of, there is none of ", kind);
    if (options.relation != GarmentRelation::pair) result.class_names.push_back(source.name_of(kind));
  }
  auto const side = std::size_t(options.garment);
  int const margin = (options.cell - options.garment) / 2;
  Image picture(source.height, source.width, 1);
  for (std::size_t i = 0; i < count; ++i) {
    RandomKey const own = subkey(key, i);
    GarmentScene const scene = draw_garment_scene(options, subkey(own, "scene"));
    Draws draws(subkey(own, "garments"));
    Image canvas(result.height, result.width, 1);
    for (int cell = 0; cell < options.cells(); ++cell) {
      int const top = cell / options.columns * options.cell, left = cell % options.columns * options.cell;
      auto const level = static_cast<std::uint8_t>(ground_level(options, scene.grounds[std::size_t(cell)]));
      for (int y = top; y < top + options.cell; ++y) {
        std::fill_n(canvas.at(std::size_t(y), std::size_t(left)), options.cell, level);
      }
      if (scene.kinds[std::size_t(cell)] < 0) continue;
      auto const& among = of_kind[std::size_t(scene.kinds[std::size_t(cell)])];
      std::uint8_t const* const pixels = source.image(among[std::size_t(draws.integer(std::int64_t(among.size())))]);
      picture.pixels.assign(pixels, pixels + source.image_size());
      add_picture(canvas, resample(picture, whole(picture), side, side, Filter::bilinear), top + margin, left + margin,
                  options.contrast);
    }
    result.images.insert(result.images.end(), canvas.pixels.begin(), canvas.pixels.end());
    result.labels.push_back(scene.label);
  }
  result.normalization = channel_statistics(result);
  return result;
}

/// Canvases to learn from, of the garments to learn from, and canvases to judge by, of the others.
inline Split compose_garments(Split const& source, std::size_t train, std::size_t test, GarmentOptions const& options,
                              std::uint64_t seed) {
  RandomKey const key{.seed = seed};
  Split split{compose_garments(source.train, train, options, subkey(key, "training garments")),
              compose_garments(source.test, test, options, subkey(key, "test garments"))};
  split.test.normalization = split.train.normalization;
  return split;
}

}  // namespace attn::data
