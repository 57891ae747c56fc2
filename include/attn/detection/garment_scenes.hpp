/// Pictures of garments that lie on textured grounds, scaled, turned, tinted, one over another, and where each of them
/// is.
#pragma once

#include "attn/data/dataset.hpp"
#include "attn/data/distributions.hpp"
#include "attn/data/image.hpp"
#include "attn/detection/mask_rle.hpp"

#include <cmath>

namespace attn::detection {

/// What is drawn in a picture.
struct GarmentSceneOptions {
  int least_side = 96, most_side = 160;  // of a picture, in pixels
  int most_objects = 6;                  // of a picture, besides a crowd
  double smallest = 0.2, largest = 0.6;  // side of a garment over the picture's shorter one
  double share_empty = 0.03;             // of the pictures have no garments
  double share_crowds = 0.1;             // of the others have a heap of small garments of one kind
};

/// Throws unless such scenes can be drawn.
inline void check(GarmentSceneOptions const& o, char const* name) {
  ATTN_CHECK(o.least_side >= 32 && o.least_side <= o.most_side && o.most_side <= 4096, name,
             ": give sides from 32 to 4096 pixels, got ", o.least_side, " to ", o.most_side);
  ATTN_CHECK(o.most_objects >= 1 && o.most_objects <= 1000, name, ": give a scene 1 to 1000 objects, got ",
             o.most_objects);
  ATTN_CHECK(o.smallest > 0 && o.smallest <= o.largest && o.largest <= 1, name,
             ": give garments above 0 and up to 1 of a side, got ", o.smallest, " to ", o.largest);
}

/// A picture with its objects.
struct GarmentScene {
  struct Object {
    int kind = 0;        // its label in the source
    bool crowd = false;  // several of one kind
    MaskRle mask = {};   // of what is to be seen
  };
  data::Image image;
  std::vector<Object> objects;  // what lies below comes first
};

namespace detail {

/// A garment of the source: its grey pixels, and which of them are not ground, holes included.
struct Sprite {
  std::size_t height, width;
  std::uint8_t const* grey;
  std::vector<std::uint8_t> filled;

  Sprite(data::Dataset const& source, std::size_t i)
      : height(source.height), width(source.width), grey(source.image(i)), filled(height * width, 1) {
    std::vector<std::size_t> border;  // ground is what can be reached from the edges over dark pixels
    auto const reach = [&](std::size_t p) {
      if (filled[p] == 0 || grey[p] > 16) return;
      filled[p] = 0;
      border.push_back(p);
    };
    for (std::size_t x = 0; x < width; ++x) reach(x), reach((height - 1) * width + x);
    for (std::size_t y = 0; y < height; ++y) reach(y * width), reach(y * width + width - 1);
    while (!border.empty()) {
      std::size_t const p = border.back(), x = p % width;
      border.pop_back();
      if (x > 0) reach(p - 1);
      if (x + 1 < width) reach(p + 1);
      if (p >= width) reach(p - width);
      if (p + width < height * width) reach(p + width);
    }
  }

  /// Linear between the centres of pixels; 0 outside.
  double at(std::uint8_t const* values, double y, double x) const {
    double const top = std::floor(y - 0.5), left = std::floor(x - 0.5), down = y - 0.5 - top, right = x - 0.5 - left;
    double sum = 0;
    for (int i = 0; i < 4; ++i) {
      double const row = top + i / 2, column = left + i % 2;
      if (row < 0 || column < 0 || row >= double(height) || column >= double(width)) continue;
      double const weight = (i / 2 == 0 ? 1 - down : down) * (i % 2 == 0 ? 1 - right : right);
      sum += weight * values[std::size_t(row) * width + std::size_t(column)];
    }
    return sum;
  }
};

/// A picture that is being drawn, and which object each pixel shows: -1 for the ground.
class SceneCanvas {
 public:
  SceneCanvas(std::size_t height, std::size_t width) : image_(height, width, 3), owner_(height * width, -1) {}

  /// Waves of some color, with grain.
  void draw_ground(data::Draws& draws) {
    double color[3], waves[3][4];
    for (double& c : color) c = draws.uniform(50, 205);
    for (auto& wave : waves) {
      double const direction = draws.uniform(0, 6.283185307179586), length = draws.uniform(4, 60);
      wave[0] = 6.283185307179586 / length * std::cos(direction);
      wave[1] = 6.283185307179586 / length * std::sin(direction);
      wave[2] = draws.uniform(0, 6.283185307179586);
      wave[3] = draws.uniform(4, 20);
    }
    for (std::size_t y = 0; y < image_.height; ++y) {
      for (std::size_t x = 0; x < image_.width; ++x) {
        double light = draws.uniform(-12, 12);
        for (auto const& wave : waves) light += wave[3] * std::sin(wave[0] * double(x) + wave[1] * double(y) + wave[2]);
        for (int c = 0; c < 3; ++c) image_.at(y, x)[c] = byte(color[c] + light);
      }
    }
  }

  /// Puts a garment with its longer side of `side` pixels on the picture, turned around its centre. Nothing happens,
  /// and the result is false, if too little of it or of what lies below it would be seen.
  bool put(Sprite const& sprite, int object, double side, double centre_y, double centre_x, data::Draws& draws) {
    double const angle = draws.uniform(-0.6, 0.6), scale = double(std::max(sprite.height, sprite.width)) / side;
    double const cosine = std::cos(angle) * scale, sine = std::sin(angle) * scale;
    double tint[3];
    for (double& t : tint) t = draws.uniform(0.35, 1);
    std::vector<Pixel> pixels;
    double const reach = side * 0.75;
    auto const first_y = std::int64_t(std::max(0.0, centre_y - reach)),
               first_x = std::int64_t(std::max(0.0, centre_x - reach));
    for (std::int64_t y = first_y; y < std::min(double(image_.height), centre_y + reach); ++y) {
      for (std::int64_t x = first_x; x < std::min(double(image_.width), centre_x + reach); ++x) {
        double const down = double(y) + 0.5 - centre_y, right = double(x) + 0.5 - centre_x;
        double const v = cosine * down - sine * right + double(sprite.height) / 2;
        double const u = sine * down + cosine * right + double(sprite.width) / 2;
        if (sprite.at(sprite.filled.data(), v, u) < 0.5) continue;
        pixels.push_back({std::size_t(y) * image_.width + std::size_t(x), sprite.at(sprite.grey, v, u)});
      }
    }
    if (pixels.size() < 24 || covers_too_much(pixels, object)) return false;
    if (std::size_t(object) >= drawn_.size())
      drawn_.resize(std::size_t(object) + 1), seen_.resize(std::size_t(object) + 1);
    for (Pixel const& p : pixels) {
      int& owner = owner_[p.at];
      if (owner >= 0) --seen_[std::size_t(owner)];
      if (owner != object) ++drawn_[std::size_t(object)];
      owner = object;
      ++seen_[std::size_t(object)];
      for (int c = 0; c < 3; ++c) image_.pixels[3 * p.at + std::size_t(c)] = byte(tint[c] * (50 + 0.8 * p.grey));
    }
    return true;
  }

  MaskRle mask(int object) const {
    std::vector<std::uint8_t> pixels(owner_.size());
    for (std::size_t i = 0; i < owner_.size(); ++i) pixels[i] = owner_[i] == object ? 1 : 0;
    return encode_mask(pixels, std::uint32_t(image_.height), std::uint32_t(image_.width));
  }
  data::Image image() && { return std::move(image_); }

 private:
  struct Pixel {
    std::size_t at;
    double grey;
  };
  static std::uint8_t byte(double v) { return std::uint8_t(std::clamp(v + 0.5, 0.0, 255.0)); }

  /// Whether less than half of another object would be left.
  bool covers_too_much(std::vector<Pixel> const& pixels, int object) const {
    std::vector<std::size_t> covered(drawn_.size(), 0);
    for (Pixel const& p : pixels) {
      if (owner_[p.at] >= 0) ++covered[std::size_t(owner_[p.at])];
    }
    for (std::size_t i = 0; i < covered.size(); ++i) {
      if (int(i) != object && 2 * (seen_[i] - std::min(seen_[i], covered[i])) < drawn_[i] && covered[i] > 0)
        return true;
    }
    return false;
  }

  data::Image image_;
  std::vector<int> owner_;
  std::vector<std::size_t> drawn_, seen_;  // pixels of each object
};

}  // namespace detail

/// A scene of garments from `source`, grey images on black; the same from the same key.
inline GarmentScene draw_garments(data::Dataset const& source, GarmentSceneOptions const& options, RandomKey key) {
  check(options, "draw_garments");
  ATTN_CHECK(source.channels == 1 && source.count > 0, "draw_garments: give grey images, got ", source.count, " of ",
             source.channels, " channels");
  data::Draws draws(key);
  auto const side = [&] {
    return std::size_t(options.least_side + draws.integer(options.most_side - options.least_side + 1));
  };
  std::size_t const height = side(), width = side();
  auto const shorter = double(std::min(height, width));
  detail::SceneCanvas canvas(height, width);
  canvas.draw_ground(draws);
  auto const any = [&] { return std::size_t(draws.integer(std::int64_t(source.count))); };
  GarmentScene scene;
  bool const empty = draws.bernoulli(options.share_empty);
  if (!empty && draws.bernoulli(options.share_crowds)) {
    int const kind = source.labels[any()];
    double const y = draws.uniform(0.25, 0.75) * double(height), x = draws.uniform(0.25, 0.75) * double(width);
    int put = 0;
    for (int i = 0; i < 200 && put < 10; ++i) {
      std::size_t const garment = any();
      if (source.labels[garment] != kind) continue;
      put += canvas.put(detail::Sprite(source, garment), 0, draws.uniform(0.14, 0.2) * shorter,
                        y + 0.12 * shorter * draws.normal(), x + 0.2 * shorter * draws.normal(), draws);
    }
    if (put > 0) scene.objects.push_back({.kind = kind, .crowd = true});
  }
  auto const wanted = empty ? 0 : 1 + draws.integer(options.most_objects);
  for (std::int64_t i = 0; i < wanted; ++i) {
    std::size_t const garment = any();
    double const size = draws.uniform(options.smallest, options.largest) * shorter;
    double const y = draws.uniform(0.1, 0.9) * double(height), x = draws.uniform(0.1, 0.9) * double(width);
    if (!canvas.put(detail::Sprite(source, garment), int(scene.objects.size()), size, y, x, draws)) continue;
    scene.objects.push_back({.kind = source.labels[garment]});
  }
  for (std::size_t i = 0; i < scene.objects.size(); ++i) scene.objects[i].mask = canvas.mask(int(i));
  scene.image = std::move(canvas).image();
  return scene;
}

}  // namespace attn::detection
