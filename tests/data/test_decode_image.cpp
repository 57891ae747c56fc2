#include "attn/data/decode_image.hpp"
#include "attn/data/encode_jpeg.hpp"
#include "attn/data/gzip.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

namespace {

using namespace attn::data;
using Bytes = std::vector<unsigned char>;

std::filesystem::path golden(std::string const& name) {
  return std::filesystem::path(ATTN_GOLDEN_DIR) / "decode" / name;
}

Bytes content(std::string const& name) {
  Bytes bytes;
  read_bytes(golden(name), bytes);
  return bytes;
}

std::string fault(std::function<void()> const& action) {
  try {
    action();
  } catch (attn::Error const& e) {
    return e.what();
  }
  return "";
}

TEST(DecodeImage, EqualsPillowForFilesOfEveryKind) {
  auto const pixels = read_content(golden("pixels.gz"));
  std::ifstream list(golden("files.txt"));
  std::string name;
  std::size_t height = 0, width = 0, at = 0;
  while (list >> name >> height >> width) {
    Image expected(height, width, 3);
    ASSERT_LE(at + expected.pixels.size(), pixels.size());
    std::copy_n(pixels.begin() + std::ptrdiff_t(at), expected.pixels.size(), expected.pixels.begin());
    at += expected.pixels.size();
    EXPECT_TRUE(read_image(golden(name)) == expected) << name;
  }
  EXPECT_EQ(at, pixels.size());
  EXPECT_GT(at, 0u);
}

TEST(DecodeImage, OfABoxHasThePixelsOfTheWholePicture) {
  for (char const* name :
       {"420.JPEG", "422.JPEG", "444.JPEG", "progressive.JPEG", "cmyk.JPEG", "png.JPEG", "restarts.JPEG"}) {
    Bytes const bytes = content(name);
    for (std::size_t size : {7, 3, 1}) {  // at full size, a half and an eighth
      ImageBox const box = {.top = 18, .left = 41, .height = 8, .width = 9};
      Image all, part;
      ImageBox const scaled = EncodedImage(bytes, name)
                                  .decode({.height = 37, .width = 53},
                                          size == 7   ? 37
                                          : size == 3 ? 18
                                                      : 4,
                                          size == 7   ? 53
                                          : size == 3 ? 26
                                                      : 6,
                                          all);
      ImageBox const at = EncodedImage(bytes, name).decode(box, size, size, part);
      double const scale = scaled.height / 37;
      EXPECT_NEAR(at.height, scale * box.height, 1e-9) << name;
      auto const top = std::size_t(scale * box.top - at.top + 0.5),
                 left = std::size_t(scale * box.left - at.left + 0.5);
      bool same = true;
      for (std::size_t y = 0; y < part.height; ++y) {
        same = same && std::equal(part.at(y, 0), part.at(y, 0) + 3 * part.width, all.at(top + y, left));
      }
      EXPECT_TRUE(same) << name << " at " << scale;
    }
  }
}

TEST(DecodeImage, NamesTheFileAndItsFault) {
  auto const decode = [](Bytes bytes, DecodeOptions const& options = {}) {
    return fault([&] { decode_image(bytes, "a.jpg", options); });
  };
  for (char const* name : {"420.JPEG", "progressive.JPEG"}) {
    Bytes bytes = content(name);
    bytes.resize(bytes.size() - 2);
    EXPECT_EQ(decode(bytes), "decode_image: 'a.jpg' is a truncated JPEG");
    bytes.resize(100);
    EXPECT_EQ(decode(bytes), "decode_image: 'a.jpg' is a truncated JPEG");
  }
  Bytes png = content("rgba.png");
  png.resize(png.size() / 2);
  EXPECT_EQ(decode(png), "decode_image: 'a.jpg' is a damaged or truncated PNG");
  std::string const text = "not a picture\n";
  EXPECT_EQ(decode(Bytes(text.begin(), text.end())), "decode_image: 'a.jpg' is neither a JPEG nor a PNG but text");
  EXPECT_EQ(decode({}), "decode_image: 'a.jpg' is neither a JPEG nor a PNG but an empty file");
  EXPECT_NE(fault([] { read_image("nowhere.jpg"); }).find("nowhere.jpg"), std::string::npos);
}

TEST(DecodeImage, RefusesHugePicturesByTheirHead) {
  Bytes bytes = content("420.JPEG");
  static constexpr unsigned char frame[] = {0xff, 0xc0};
  auto const at = std::search(bytes.begin(), bytes.end(), std::begin(frame), std::end(frame));
  ASSERT_NE(at, bytes.end());
  for (int side : {5, 7}) {  // 20,000
    at[side] = 0x4e;
    at[side + 1] = 0x20;
  }
  EXPECT_EQ(fault([&] { decode_image(bytes, "a.jpg"); }),
            "decode_image: 'a.jpg' has 20000 x 20000 pixels, more than the 100000000 that are allowed");
  EXPECT_NE(fault([&] { decode_image(content("png.JPEG"), "a.jpg", {.most_pixels = 100}); }).find("37 x 53"),
            std::string::npos);
}

TEST(EncodeJpeg, IsDecodedToTheSamePicture) {
  Image image(19, 31, 3);
  for (std::size_t y = 0; y < 19; ++y) {
    for (std::size_t x = 0; x < 31; ++x) {
      for (std::size_t c = 0; c < 3; ++c) image.at(y, x)[c] = std::uint8_t(60 + 4 * x + 3 * y + 10 * c);
    }
  }
  std::string const bytes = encode_jpeg(image, 95);
  std::span const span(reinterpret_cast<unsigned char const*>(bytes.data()), bytes.size());
  auto const decoded = decode_image(span, "image");
  ASSERT_EQ(decoded.pixels.size(), image.pixels.size());
  for (std::size_t i = 0; i < image.pixels.size(); ++i) ASSERT_NEAR(decoded.pixels[i], image.pixels[i], 8) << i;
  EXPECT_EQ(fault([&] { encode_jpeg(image, 0); }), "encode_jpeg: give a quality from 1 to 100, got 0");
  EXPECT_NE(fault([] { encode_jpeg({}); }).find("at least one pixel"), std::string::npos);
}

}  // namespace
