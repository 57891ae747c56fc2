#include "detection/drawing.hpp"

#include "attn/data/decode_image.hpp"
#include "attn/data/encode_jpeg.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

namespace train_detection {
namespace {

namespace detection = attn::detection;
using attn::data::Image;
using Color = std::array<std::uint8_t, 3>;

constexpr Color colors[] = {{230, 60, 60},  {60, 160, 60},  {60, 110, 230}, {230, 160, 30}, {150, 70, 200},
                            {40, 180, 180}, {220, 90, 170}, {140, 140, 30}, {90, 90, 90},   {200, 120, 80}};

/// Letters of 3 x 5 dots, a row in three bits, the top one first.
struct Letter {
  char is;
  std::uint16_t dots;
};
constexpr Letter letters[] = {
    {'A', 0b010101111101101}, {'B', 0b110101110101110}, {'C', 0b011100100100011}, {'D', 0b110101101101110},
    {'E', 0b111100110100111}, {'F', 0b111100110100100}, {'G', 0b011100101101011}, {'H', 0b101101111101101},
    {'I', 0b111010010010111}, {'J', 0b001001001101010}, {'K', 0b101110100110101}, {'L', 0b100100100100111},
    {'M', 0b101111111101101}, {'N', 0b110101101101101}, {'O', 0b010101101101010}, {'P', 0b110101110100100},
    {'Q', 0b010101101110011}, {'R', 0b110101110110101}, {'S', 0b011100010001110}, {'T', 0b111010010010010},
    {'U', 0b101101101101111}, {'V', 0b101101101010010}, {'W', 0b101101111111101}, {'X', 0b101101010101101},
    {'Y', 0b101101010010010}, {'Z', 0b111001010100111}, {'0', 0b111101101101111}, {'1', 0b010110010010111},
    {'2', 0b110001010100111}, {'3', 0b110001010001110}, {'4', 0b101101111001001}, {'5', 0b111100110001110},
    {'6', 0b011100111101111}, {'7', 0b111001010010010}, {'8', 0b111101111101111}, {'9', 0b111101111001110},
    {'.', 0b000000000000010}, {'-', 0b000000111000000}, {'/', 0b001001010100100}, {'%', 0b101001010100101}};

std::uint16_t dots_of(char c) {
  char const upper = c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c;
  for (Letter const& letter : letters) {
    if (letter.is == upper) return letter.dots;
  }
  return 0;
}

void put(Image& image, std::ptrdiff_t y, std::ptrdiff_t x, Color const& color, double share = 1) {
  if (y < 0 || x < 0 || y >= std::ptrdiff_t(image.height) || x >= std::ptrdiff_t(image.width)) return;
  std::uint8_t* const at = image.at(std::size_t(y), std::size_t(x));
  for (std::size_t c = 0; c < 3; ++c) at[c] = std::uint8_t(std::lround((1 - share) * at[c] + share * color[c]));
}

/// White on a ground of `color`, its upper left corner at (top, left).
void write_text(Image& image, std::ptrdiff_t top, std::ptrdiff_t left, std::string_view text, Color const& color,
                std::ptrdiff_t dot) {
  auto const width = std::ptrdiff_t(text.size()) * 4 * dot + dot;
  left = std::clamp<std::ptrdiff_t>(left, 0, std::max<std::ptrdiff_t>(0, std::ptrdiff_t(image.width) - width));
  top = std::max<std::ptrdiff_t>(0, top);
  for (std::ptrdiff_t y = 0; y < 7 * dot; ++y) {
    for (std::ptrdiff_t x = 0; x < width; ++x) put(image, top + y, left + x, color);
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::uint16_t const dots = dots_of(text[i]);
    for (std::ptrdiff_t y = 0; y < 5 * dot; ++y) {
      for (std::ptrdiff_t x = 0; x < 3 * dot; ++x) {
        if ((dots >> (14 - 3 * (y / dot) - x / dot) & 1) == 0) continue;
        put(image, top + dot + y, left + dot + std::ptrdiff_t(i) * 4 * dot + x, {255, 255, 255});
      }
    }
  }
}

void draw(Image& image, detection::CocoResult const& result, std::string const& name, Color const& color) {
  auto const dot = std::max<std::ptrdiff_t>(1, std::ptrdiff_t(std::min(image.height, image.width) / 240));
  if (result.segmentation.mask && result.segmentation.mask->height == image.height &&
      result.segmentation.mask->width == image.width) {
    auto const pixels = detection::decode_mask(*result.segmentation.mask);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      if (pixels[i] != 0) put(image, std::ptrdiff_t(i / image.width), std::ptrdiff_t(i % image.width), color, 0.45);
    }
  }
  auto const top = std::ptrdiff_t(result.box.y), left = std::ptrdiff_t(result.box.x);
  auto const bottom = std::ptrdiff_t(result.box.y + result.box.height) - 1,
             right = std::ptrdiff_t(result.box.x + result.box.width) - 1;
  for (std::ptrdiff_t d = 0; d < dot; ++d) {
    for (std::ptrdiff_t x = left; x <= right; ++x) put(image, top + d, x, color), put(image, bottom - d, x, color);
    for (std::ptrdiff_t y = top; y <= bottom; ++y) put(image, y, left + d, color), put(image, y, right - d, color);
  }
  char score[16];
  std::snprintf(score, sizeof score, " %.2f", result.score);
  write_text(image, top - 7 * dot, left, name + score, color, dot);
}

}  // namespace

void draw_some(detection::CocoAnnotations const& coco, detection::CocoResults const& results,
               attn::io::Path const& folder, attn::io::Path const& out, double score, std::size_t count) {
  std::filesystem::create_directories(out);
  for (std::size_t i = 0; i < std::min(count, coco.images.size()); ++i) {
    Image image;
    try {
      image = attn::data::read_image(folder / coco.images[i].file);
    } catch (attn::Error const&) {
      continue;  // who looked for objects in it has said so
    }
    std::vector<detection::CocoResult const*> found;
    for (auto const& result : results.results) {
      if (result.image == coco.images[i].id && result.score >= score) found.push_back(&result);
    }
    std::stable_sort(found.begin(), found.end(), [](auto const* a, auto const* b) { return a->score < b->score; });
    for (auto const* const result : found) {  // the surest on top
      auto const category = detection::index_of_id(coco.categories, result->category);
      draw(image, *result, coco.categories[std::size_t(category)].name,
           colors[std::size_t(category) % std::size(colors)]);
    }
    std::string name = attn::io::Path(coco.images[i].file).replace_extension(".jpg").string();
    std::replace(name.begin(), name.end(), '/', '_');
    attn::io::write_file(out / name, attn::data::encode_jpeg(image, 92));
  }
}

}  // namespace train_detection
