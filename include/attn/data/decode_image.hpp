/// Decoding: the bytes of a JPEG or PNG file become an image of red, green and blue.
#pragma once

#include "attn/data/detail/jpeg.hpp"
#include "attn/data/detail/png.hpp"
#include "attn/data/image.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace attn::data {

/// What is refused, and what may be decoded smaller.
struct DecodeOptions {
  std::uint64_t most_pixels = 100'000'000;  // of a picture: larger ones are refused before memory is taken
  bool scaled = true;  // decode at 1/2, 1/4 or 1/8 of the size where that is still as large as what is wanted
};

namespace detail {

/// What a file that is neither a JPEG nor a PNG may be, for a message.
inline char const* kind_of(std::span<unsigned char const> bytes) {
  std::string_view const text(reinterpret_cast<char const*>(bytes.data()), std::min<std::size_t>(bytes.size(), 16));
  if (text.empty()) return "an empty file";
  if (text.starts_with("GIF8")) return "a GIF";
  if (text.starts_with("BM")) return "a BMP";
  if (text.starts_with("RIFF") && text.substr(8).starts_with("WEBP")) return "a WebP";
  if (text.starts_with("II*") || text.starts_with("MM")) return "a TIFF";
  bool const printable = std::all_of(
      text.begin(), text.end(), [](char c) { return (c >= ' ' && c < 127) || c == '\n' || c == '\r' || c == '\t'; });
  return printable ? "text" : "something else";
}

}  // namespace detail

/// A picture whose header was read: its size is known, its pixels are not decoded yet. `bytes` must outlive it; `name`,
/// of its file, is for messages. What the bytes are is found out from them. JPEG: grey, YCbCr, RGB, CMYK and YCCK as
/// Adobe writes them, baseline and progressive. PNG: of any kind; alpha is dropped. The orientation that a camera noted
/// is not applied. Pixels equal those of Pillow's `Image.open(file).convert("RGB")`, but for grey PNG of 16 bits, of
/// which the upper 8 are taken, while Pillow makes all values above 255 white.
class EncodedImage {
 public:
  EncodedImage(std::span<unsigned char const> bytes, std::string name, DecodeOptions const& options = {})
      : name_(std::move(name)), options_(options) {
    static constexpr unsigned char jpeg[] = {0xff, 0xd8, 0xff}, png[] = {0x89, 'P', 'N', 'G'};
    if (bytes.size() > 3 && std::equal(std::begin(jpeg), std::end(jpeg), bytes.begin())) {
      jpeg_ = std::make_unique<detail::JpegDecoder>(bytes);
      if (!jpeg_->read_head()) fail_jpeg();
      height_ = jpeg_->height;
      width_ = jpeg_->width;
    } else if (bytes.size() > 4 && std::equal(std::begin(png), std::end(png), bytes.begin())) {
      png_ = std::make_unique<detail::PngDecoder>(bytes);
      ATTN_CHECK(png_->read_size(), "decode_image: '", name_, "' is a damaged PNG");
      height_ = png_->height;
      width_ = png_->width;
    } else {
      attn::detail::fail("decode_image: '", name_, "' is neither a JPEG nor a PNG but ", detail::kind_of(bytes));
    }
    ATTN_CHECK(height_ <= options.most_pixels / width_, "decode_image: '", name_, "' has ", height_, " x ", width_,
               " pixels, more than the ", options.most_pixels, " that are allowed");
  }

  std::size_t height() const { return height_; }
  std::size_t width() const { return width_; }

  /// Decodes all of it. Once.
  void decode(Image& out) { decode({.height = double(height_), .width = double(width_)}, height_, width_, out); }

  /// Decodes what it takes to resample `box` to (height, width), and returns the box in coordinates of `out`: of a JPEG
  /// the box with a margin as wide as filters are, and smaller where `options.scaled` allows it. Once.
  ImageBox decode(ImageBox box, std::size_t height, std::size_t width, Image& out) {
    ATTN_CHECK(box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0 &&
                   box.top + box.height <= double(height_) * (1 + 1e-6) &&
                   box.left + box.width <= double(width_) * (1 + 1e-6),
               "decode_image: ask for a box within the ", height_, " x ", width_, " pixels of '", name_, "', not ",
               box.height, " x ", box.width, " at ", box.top, ", ", box.left);
    if (png_ != nullptr) {
      decode_png(out);
      return box;
    }
    unsigned denominator = 1;
    while (options_.scaled && denominator < 8 && box.height / (2 * denominator) >= double(height) &&
           box.width / (2 * denominator) >= double(width)) {
      denominator *= 2;
    }
    if (!jpeg_->start(denominator)) fail_jpeg();
    for (double* const x : {&box.top, &box.left, &box.height, &box.width}) *x /= denominator;
    auto const rows = around(box.top, box.height, height, jpeg_->scaled_height);
    auto const columns = around(box.left, box.width, width, jpeg_->scaled_width);
    if (!jpeg_->crop(columns.begin, columns.end) || !jpeg_->skip_rows(rows.begin)) fail_jpeg();
    out.resize(rows.end - rows.begin, columns.end - columns.begin, 3);
    thread_local std::vector<std::uint8_t> row;
    std::size_t const channels = jpeg_->components == 4 ? 4 : 3, skipped = columns.begin - jpeg_->first;
    row.resize(jpeg_->columns * channels);
    for (std::size_t y = 0; y < out.height; ++y) {
      if (!jpeg_->read_row(row.data())) fail_jpeg();
      std::uint8_t const* const from = row.data() + skipped * channels;
      if (channels == 4) {
        detail::rgb_of_inverted_cmyk(from, out.width, out.at(y, 0));
      } else {
        std::copy_n(from, 3 * out.width, out.at(y, 0));
      }
    }
    box.top -= double(rows.begin);
    box.left -= double(columns.begin);
    return box;
  }

 private:
  struct Range {
    std::size_t begin, end;
  };

  /// The pixels of a side that filters reach from a box.
  static Range around(double start, double length, std::size_t wanted, std::size_t side) {
    double const margin = 2 * std::max(1.0, length / double(std::max<std::size_t>(wanted, 1))) + 2;
    double const begin = std::max(0.0, std::floor(start - margin));
    double const end = std::min(double(side), std::ceil(start + length + margin));
    return {static_cast<std::size_t>(begin), static_cast<std::size_t>(end)};
  }

  void decode_png(Image& out) {
    bool good = png_->prepare(detail::PngDecoder::Kind::color) && png_->channels == 3;
    if (good) {
      out.resize(height_, width_, 3);
      std::vector<png_bytep> rows(height_);
      for (std::size_t y = 0; y < height_; ++y) rows[y] = out.at(y, 0);
      good = png_->read_rows(rows.data());
    }
    ATTN_CHECK(good, "decode_image: '", name_, "' is a damaged or truncated PNG");
  }

  [[noreturn]] void fail_jpeg() const {
    if (jpeg_->truncated) attn::detail::fail("decode_image: '", name_, "' is a truncated JPEG");
    attn::detail::fail("decode_image: '", name_, "' is a JPEG that cannot be decoded: ", jpeg_->message());
  }

  std::string name_;
  DecodeOptions options_;
  std::size_t height_ = 0, width_ = 0;
  std::unique_ptr<detail::JpegDecoder> jpeg_;
  std::unique_ptr<detail::PngDecoder> png_;
};

/// bytes -> (height, width, 3).
inline Image decode_image(std::span<unsigned char const> bytes, std::string name, DecodeOptions const& options = {}) {
  Image image;
  EncodedImage(bytes, std::move(name), options).decode(image);
  return image;
}

/// The content of a file, into memory that is used again.
inline void read_bytes(std::filesystem::path const& path, std::vector<unsigned char>& bytes) {
  constexpr std::uintmax_t most = std::uintmax_t(1) << 30;
  std::error_code error;
  std::uintmax_t const size = std::filesystem::file_size(path, error);
  ATTN_CHECK(!error, "read_bytes: cannot read '", path.string(), "': ", error.message());
  ATTN_CHECK(size <= most, "read_bytes: '", path.string(), "' has ", size, " bytes, more than any picture");
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file(std::fopen(path.c_str(), "rb"), &std::fclose);
  ATTN_CHECK(file != nullptr, "read_bytes: cannot open '", path.string(),
             "': ", std::generic_category().message(errno));
  bytes.resize(static_cast<std::size_t>(size));
  bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file.get()));
}

/// file -> (height, width, 3).
inline Image read_image(std::filesystem::path const& path, DecodeOptions const& options = {}) {
  std::vector<unsigned char> bytes;
  read_bytes(path, bytes);
  return decode_image(bytes, path.string(), options);
}

}  // namespace attn::data
