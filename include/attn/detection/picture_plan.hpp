/// PicturePlan: which part of a picture a detector sees, how large, and where its objects are then.
#pragma once

#include "attn/core/random.hpp"
#include "attn/data/image.hpp"
#include "attn/detection/coco.hpp"
#include "attn/detection/corner_boxes.hpp"
#include "attn/nn/feature_maps.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace attn::detection {

/// Sizes of pictures as a detector sees them. The defaults are COCO's for training: of two policies one, at random.
struct PictureSizes {
  std::vector<Index> short_sides = {480, 512, 544, 576, 608, 640,
                                    672, 704, 736, 768, 800};  ///< one of them, unless ...
  Index most_long_side = 1333;                                 ///< ... the other side would be longer than this
  std::vector<Index> crop_sides = {400, 500, 600};  ///< short sides before a part is cut out; none: nothing is cut
  Index least_crop = 384, most_crop = 600;          ///< sides of that part
  double crops = 0.5;                               ///< how often a part is cut out
  double flips = 0.5;                               ///< how often left and right are exchanged
};

/// COCO's sizes for evaluation, or others: one size, all of the picture.
inline PictureSizes evaluation_sizes(Index short_side = 800, Index most_long_side = 1333) {
  return {.short_sides = {short_side}, .most_long_side = most_long_side, .crop_sides = {}, .crops = 0, .flips = 0};
}

/// The size of a picture whose short side becomes `short_side`, or its long side `most_long_side` if that is less.
inline nn::Size2 scaled_size(nn::Size2 picture, Index short_side, Index most_long_side) {
  double const least = double(std::min(picture.height, picture.width)),
               most = double(std::max(picture.height, picture.width));
  double const scale = std::min(double(most_long_side) / most, double(short_side) / least);
  auto const side = [&](Index pixels) { return std::max(Index(1), Index(double(pixels) * scale + 0.5)); };
  return {side(picture.height), side(picture.width)};
}

/// A part of a picture, enlarged or reduced to `size`, and perhaps mirrored.
struct PicturePlan {
  data::ImageBox part;
  nn::Size2 size;
  bool flipped = false;

  /// Where a point of the picture lies.
  double x(double of_picture) const {
    double const at = (of_picture - part.left) * double(size.width) / part.width;
    return flipped ? double(size.width) - at : at;
  }
  double y(double of_picture) const { return (of_picture - part.top) * double(size.height) / part.height; }
  /// The point of the picture that lies there.
  double picture_x(double at) const {
    return part.left + (flipped ? double(size.width) - at : at) * part.width / double(size.width);
  }
  double picture_y(double at) const { return part.top + at * part.height / double(size.height); }

  /// A box, clipped to what is seen; of no area where nothing is.
  CornerBox box(Box const& b) const {
    double const a = x(b.x), c = x(b.x + b.width);
    return clipped({float(std::min(a, c)), float(y(b.y)), float(std::max(a, c)), float(y(b.y + b.height))});
  }

  /// The pixels of an object: polygons are moved, then drawn; of a mask, each pixel is the one below its middle.
  MaskRle mask(Segmentation const& object) const {
    auto const height = std::uint32_t(size.height), width = std::uint32_t(size.width);
    if (!object.mask) {
      std::vector<Polygon> moved = object.polygons;
      for (Polygon& polygon : moved) {
        for (std::size_t i = 0; i + 1 < polygon.size(); i += 2) {
          polygon[i] = x(polygon[i]);
          polygon[i + 1] = y(polygon[i + 1]);
        }
      }
      return mask_of(moved, height, width);
    }
    std::vector<std::uint8_t> const from = decode_mask(*object.mask);
    std::vector<std::uint8_t> pixels(std::size_t(size.area()));
    auto const nearest = [](double at, std::uint32_t side) {
      return std::size_t(std::clamp(std::floor(at), 0.0, double(side) - 1));
    };
    for (std::size_t r = 0; r < height && !from.empty(); ++r) {
      std::size_t const row = nearest(picture_y(double(r) + 0.5), object.mask->height) * object.mask->width;
      for (std::size_t c = 0; c < width; ++c) {
        pixels[r * width + c] = from[row + nearest(picture_x(double(c) + 0.5), object.mask->width)];
      }
    }
    return encode_mask(pixels, height, width);
  }

 private:
  CornerBox clipped(CornerBox const& b) const {
    auto const inside = [](float at, Index most) { return std::clamp(at, 0.0f, float(most)); };
    return {inside(b.left, size.width), inside(b.top, size.height), inside(b.right, size.width),
            inside(b.bottom, size.height)};
  }
};

/// What is seen of a picture of this size; the key decides. Where a part is cut out, it is cut out of the picture as it
/// is, not of one that was resized before.
inline PicturePlan plan_picture(nn::Size2 picture, PictureSizes const& sizes, RandomKey key) {
  ATTN_CHECK(!sizes.short_sides.empty() && sizes.most_long_side > 0 && picture.height > 0 && picture.width > 0,
             "plan_picture: give a picture and the sides that it may have, got ", picture.height, " x ", picture.width,
             " and ", sizes.short_sides.size(), " sides");
  auto const below = [&](std::uint64_t use, Index n) {
    return std::min(n - 1, Index(uniform<double>(subkey(key, use), 0) * double(n)));
  };
  auto const one_of = [&](std::uint64_t use, std::vector<Index> const& sides) {
    return sides[std::size_t(below(use, Index(sides.size())))];
  };
  PicturePlan plan{{0, 0, double(picture.height), double(picture.width)}, {}, false};
  plan.flipped = uniform<double>(subkey(key, 0), 0) < sizes.flips;
  nn::Size2 seen = picture;
  if (!sizes.crop_sides.empty() && uniform<double>(subkey(key, 1), 0) < sizes.crops) {
    nn::Size2 const whole = scaled_size(picture, one_of(2, sizes.crop_sides), sizes.most_long_side);
    auto const side = [&](std::uint64_t use, Index pixels) {
      Index const least = std::min(pixels, sizes.least_crop), most = std::min(pixels, sizes.most_crop);
      return least + below(use, most - least + 1);
    };
    seen = {side(3, whole.height), side(4, whole.width)};
    Index const top = below(5, whole.height - seen.height + 1), left = below(6, whole.width - seen.width + 1);
    double const down = double(picture.height) / double(whole.height),
                 across = double(picture.width) / double(whole.width);
    plan.part = {double(top) * down, double(left) * across, double(seen.height) * down, double(seen.width) * across};
  }
  plan.size = scaled_size(seen, one_of(7, sizes.short_sides), sizes.most_long_side);
  return plan;
}

}  // namespace attn::detection
