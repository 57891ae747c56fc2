// Images of every kind are written here through libpng, and one kind byte by byte.
#include "attn/data/detail/png.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <string>
#include <vector>

namespace {

using attn::data::detail::decode_png;
using attn::data::detail::grey_of;
using Bytes = std::vector<unsigned char>;

struct Kind {
  int color;
  int bits;
  int interlace = PNG_INTERLACE_NONE;
  double gamma = 0;
  Bytes palette = {};
  Bytes palette_alpha = {};
};

/// The bytes of a PNG; `rows` hold the pixels as the format stores them.
Bytes encode(Kind const& kind, std::size_t width, std::size_t height, Bytes rows) {
  Bytes out;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  auto const write = [](png_structp p, png_bytep data, std::size_t n) {
    auto& bytes = *static_cast<Bytes*>(png_get_io_ptr(p));
    bytes.insert(bytes.end(), data, data + n);
  };
  png_set_write_fn(png, &out, write, [](png_structp) {});
  png_set_IHDR(png, info, png_uint_32(width), png_uint_32(height), kind.bits, kind.color, kind.interlace,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (kind.gamma > 0) png_set_gAMA(png, info, kind.gamma);
  if (!kind.palette.empty()) {
    png_set_PLTE(png, info, reinterpret_cast<png_const_colorp>(kind.palette.data()), int(kind.palette.size() / 3));
  }
  if (!kind.palette_alpha.empty()) {
    png_set_tRNS(png, info, kind.palette_alpha.data(), int(kind.palette_alpha.size()), nullptr);
  }
  std::vector<png_bytep> pointers;
  for (std::size_t y = 0; y < height; ++y) pointers.push_back(rows.data() + y * (rows.size() / height));
  png_set_rows(png, info, pointers.data());
  png_write_png(png, info, PNG_TRANSFORM_IDENTITY, nullptr);
  png_destroy_write_struct(&png, &info);
  return out;
}

Bytes pixels(Bytes const& png) {
  auto const image = decode_png(png);
  return image ? image->pixels : Bytes{};
}

TEST(Png, GreyIsReadAsStoredWhateverGammaIsNamed) {
  for (double const gamma : {0.0, 1.0, 0.45455}) {
    EXPECT_EQ(pixels(encode({PNG_COLOR_TYPE_GRAY, 8, 0, gamma}, 3, 1, {0, 128, 255})), (Bytes{0, 128, 255}));
    EXPECT_EQ(pixels(encode({PNG_COLOR_TYPE_GRAY, 16, 0, gamma}, 2, 1, {128, 128, 255, 255})), (Bytes{128, 255}));
  }
  EXPECT_EQ(pixels(encode({PNG_COLOR_TYPE_GRAY, 16}, 3, 1, {0, 128, 0, 129, 127, 255})), (Bytes{0, 1, 127}));
}

TEST(Png, FewBitsAreSpreadOverTheWholeRange) {
  EXPECT_EQ(pixels(encode({PNG_COLOR_TYPE_GRAY, 1}, 4, 1, {0b01010000})), (Bytes{0, 255, 0, 255}));
  EXPECT_EQ(pixels(encode({PNG_COLOR_TYPE_GRAY, 2}, 4, 1, {0b00011011})), (Bytes{0, 85, 170, 255}));
  EXPECT_EQ(pixels(encode({PNG_COLOR_TYPE_GRAY, 4}, 2, 2, {0x0f, 0x81})), (Bytes{0, 255, 136, 17}));
}

TEST(Png, ColoursBecomeGreyByTheWeightsOfBt601) {
  EXPECT_EQ(grey_of(200, 0, 0), 60);
  EXPECT_EQ(grey_of(0, 200, 0), 117);
  EXPECT_EQ(grey_of(0, 0, 200), 23);
  for (unsigned v = 0; v < 256; ++v) EXPECT_EQ(grey_of(v, v, v), v);
  for (double const gamma : {0.0, 1.0}) {
    EXPECT_EQ(pixels(encode({PNG_COLOR_TYPE_RGB, 8, 0, gamma}, 2, 1, {200, 0, 0, 0, 200, 0})), (Bytes{60, 117}));
    EXPECT_EQ(pixels(encode({PNG_COLOR_TYPE_RGB, 16, 0, gamma}, 1, 1, {200, 200, 0, 0, 0, 0})), Bytes{60});
  }
  Bytes const palette = {200, 0, 0, 7, 7, 7, 0, 0, 200};
  EXPECT_EQ(pixels(encode({PNG_COLOR_TYPE_PALETTE, 8, 0, 1, palette}, 3, 1, {2, 1, 0})), (Bytes{23, 7, 60}));
  EXPECT_EQ(pixels(encode({PNG_COLOR_TYPE_PALETTE, 2, 0, 0, palette}, 3, 1, {0b10010000})), (Bytes{23, 7, 60}));
}

TEST(Png, AlphaIsIgnored) {
  EXPECT_EQ(pixels(encode({PNG_COLOR_TYPE_GRAY_ALPHA, 8}, 3, 1, {128, 0, 128, 128, 128, 255})), Bytes(3, 128));
  EXPECT_EQ(pixels(encode({PNG_COLOR_TYPE_GRAY_ALPHA, 16}, 1, 1, {128, 128, 0, 9})), Bytes{128});
  EXPECT_EQ(pixels(encode({PNG_COLOR_TYPE_RGB_ALPHA, 8}, 2, 1, {200, 0, 0, 0, 200, 0, 0, 255})), Bytes(2, 60));
  Bytes const palette = {200, 0, 0, 7, 7, 7};
  EXPECT_EQ(pixels(encode({PNG_COLOR_TYPE_PALETTE, 8, 0, 0, palette, {0, 90}}, 2, 1, {0, 1})), (Bytes{60, 7}));
}

TEST(Png, InterlacedRowsFallInPlace) {
  Bytes rows(9 * 7 * 3);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<unsigned char>(i * 37);
  Bytes const plain = pixels(encode({PNG_COLOR_TYPE_RGB, 8}, 9, 7, rows));
  EXPECT_EQ(plain.size(), 63u);
  EXPECT_EQ(plain[62], grey_of(rows[186], rows[187], rows[188]));
  EXPECT_EQ(pixels(encode({PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_ADAM7}, 9, 7, rows)), plain);
}

TEST(Png, WhatEndsTooEarlyIsDamagedOrClaimsTooMuchIsNone) {
  Bytes const whole = encode({PNG_COLOR_TYPE_GRAY, 8}, 3, 2, {1, 2, 3, 4, 5, 6});
  std::size_t const end = whole.size() - 12;  // the last chunk holds nothing
  for (std::size_t n = 0; n < end; ++n) EXPECT_FALSE(decode_png(std::span(whole).first(n))) << n;
  for (std::size_t i = 0; i < end; ++i) {
    Bytes changed = whole;
    changed[i] ^= 4;
    EXPECT_FALSE(decode_png(changed)) << i;
  }
  Bytes large = whole;  // 2^20 x 2^20 pixels, with the checksum that goes with it
  large[17] = large[21] = 0x10;
  large[16] = large[18] = large[19] = large[20] = large[22] = large[23] = 0;
  uLong const sum = ::crc32(0, large.data() + 12, 17);
  for (int b = 0; b < 4; ++b) large[std::size_t(29 + b)] = static_cast<unsigned char>(sum >> (24 - 8 * b));
  EXPECT_FALSE(decode_png(large));
}

}  // namespace
