/// RandAugment: a few operations on an image, drawn at random, all of about the same strength (Cubuk et al. 2019), as
/// timm has it.
#pragma once

#include "attn/data/distributions.hpp"
#include "attn/data/image_affine.hpp"
#include "attn/data/image_enhance.hpp"
#include "attn/data/image_tables.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>

namespace attn::data {

/// In timm's order.
enum class ImageOperation {
  auto_contrast,
  equalize,
  invert,
  rotate,
  posterize,
  solarize,
  solarize_add,
  color,
  contrast,
  brightness,
  sharpness,
  shear_x,
  shear_y,
  translate_x_rel,
  translate_y_rel
};
/// How many operations there are.
inline constexpr int image_operations = 15;

/// One operation as it was drawn. `negative` is the direction of those that have two.
struct DrawnOperation {
  ImageOperation operation = ImageOperation::auto_contrast;
  double magnitude = 10;  // from 0
  bool negative = false;
};

/// RandAugment: operations drawn for each image, and how strong they are.
struct RandAugment {
  int layers = 2;            // n: operations drawn for an image, with replacement
  int magnitude = 10;        // m: 10 is the strongest that is usual
  double deviation = 0;      // mstd: of the normal distribution of magnitudes; above 100: uniform from 0 to `magnitude`
  int largest = 10;          // mmax: magnitudes are cut to 0 ... `largest`
  double probability = 0.5;  // p: that a drawn operation is applied
  bool increasing = false;   // inc: the magnitude means strength in all operations; else in some it means weakness

  /// From timm's text, such as "rand-m9-mstd0.5-inc1": "rand" and then the letters above with their values, in any
  /// order. What is not named keeps the value above.
  static RandAugment parse(std::string_view text);

  /// What happens in one layer; none: nothing.
  std::optional<DrawnOperation> draw(Draws& draws) const {
    auto const operation = static_cast<ImageOperation>(draws.integer(image_operations));
    bool const applied = draws.bernoulli(probability);
    double const strength = deviation > 100 ? draws.uniform(0, magnitude) : magnitude + deviation * draws.normal();
    bool const negative = draws.bernoulli(0.5);
    if (!applied) return std::nullopt;
    return DrawnOperation{operation, std::clamp<double>(strength, 0, largest), negative};
  }
};

/// Changes the image as the operation says. What comes from outside of it gets the color of `fill`.
inline void apply(DrawnOperation const& drawn, bool increasing, Image& image, Fill const& fill, Filter how,
                  ImageScratch& scratch) {
  double const level = drawn.magnitude / 10;
  auto const signed_level = [&](double most) { return (drawn.negative ? -level : level) * most; };
  double const factor = increasing ? std::max(0.1, 1 + signed_level(0.9)) : level * 1.8 + 0.1;
  switch (drawn.operation) {
    case ImageOperation::auto_contrast:
      return auto_contrast(image);
    case ImageOperation::equalize:
      return equalize(image);
    case ImageOperation::invert:
      return invert(image);
    case ImageOperation::rotate:
      return rotate(image, signed_level(30), fill, how, scratch);
    case ImageOperation::posterize: {
      int const bits = static_cast<int>(level * 4);
      return posterize(image, std::clamp(increasing ? 4 - bits : bits, 0, 8));
    }
    case ImageOperation::solarize: {
      int const threshold = std::min(256, static_cast<int>(level * 256));
      return solarize(image, increasing ? 256 - threshold : threshold);
    }
    case ImageOperation::solarize_add:
      return solarize_add(image, std::min(128, static_cast<int>(level * 110)));
    case ImageOperation::color:
      return color(image, factor, scratch);
    case ImageOperation::contrast:
      return contrast(image, factor);
    case ImageOperation::brightness:
      return brightness(image, factor);
    case ImageOperation::sharpness:
      return sharpness(image, factor, scratch);
    case ImageOperation::shear_x:
      return shear_x(image, signed_level(0.3), fill, how, scratch);
    case ImageOperation::shear_y:
      return shear_y(image, signed_level(0.3), fill, how, scratch);
    case ImageOperation::translate_x_rel:
      return translate_x(image, signed_level(0.45) * double(image.width), fill, how, scratch);
    case ImageOperation::translate_y_rel:
      return translate_y(image, signed_level(0.45) * double(image.height), fill, how, scratch);
  }
}

inline RandAugment RandAugment::parse(std::string_view text) {
  auto const check = [&](bool holds, auto const&... why) {
    ATTN_CHECK(holds, "RandAugment: write a text like rand-m9-mstd0.5-inc1, with m, mstd, n, p, inc and mmax, not \"",
               text, "\": ", why...);
  };
  check(text == "rand" || text.starts_with("rand-"), "it begins with rand");
  RandAugment result;
  std::string_view rest = text.substr(4);
  while (!rest.empty()) {
    std::string_view const part = rest.substr(1, rest.substr(1).find('-'));
    rest.remove_prefix(part.size() + 1);
    std::string_view const name = part.substr(0, part.find_first_of(".0123456789"));
    std::string_view const digits = part.substr(name.size());
    auto const number = [&]<class Number>(Number& value, Number low, Number high) {
      Number parsed = 0;
      auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), parsed);
      check(error == std::errc() && end == digits.data() + digits.size() && parsed >= low && parsed <= high, "the ",
            name, " of \"", part, "\" is a ", std::is_integral_v<Number> ? "whole " : "", "number from ", low, " to ",
            high);
      value = parsed;
    };
    int increasing = 0;
    if (name == "m") {
      number(result.magnitude, 0, 100);
    } else if (name == "mstd") {
      number(result.deviation, 0.0, 1e6);
    } else if (name == "mmax") {
      number(result.largest, 1, 100);
    } else if (name == "n") {
      number(result.layers, 0, 1000);
    } else if (name == "p") {
      number(result.probability, 0.0, 1.0);
    } else if (name == "inc") {
      number(increasing, 0, 1);
      result.increasing = increasing == 1;
    } else {
      check(false, "it knows nothing called \"", part, "\"");
    }
  }
  return result;
}

}  // namespace attn::data
