/// Grey PNG images in memory, through libpng.
#pragma once

#include "attn/core/check.hpp"

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <vector>

namespace attn::data::detail {

struct GreyImage {
  std::size_t height = 0, width = 0;
  std::vector<std::uint8_t> pixels;  // (height, width)
};

/// Red, green and blue to grey by the weights of ITU-R BT.601 (0.299, 0.587, 0.114), rounded to the nearest: what the
/// usual loaders of these data sets do.
constexpr std::uint8_t grey_of(unsigned red, unsigned green, unsigned blue) {
  return static_cast<std::uint8_t>((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16);
}

/// What libpng works with. It reports errors by a jump, so nothing that has a destructor lives where it is called.
class PngDecoder {
 public:
  explicit PngDecoder(std::span<unsigned char const> bytes) : rest_(bytes) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, &on_error, &on_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
  }
  PngDecoder(PngDecoder&&) = delete;
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }

  /// The size, and the number of channels, 1 or 3, in which rows are to come, 8 bits a channel.
  bool read_head(png_uint_32 most_pixels) { return read_size() && fits(most_pixels) && prepare(Kind::as_stored); }

  /// `as_stored`: values are kept, 16 bits become 8 by rounding. `color`: red, green and blue of every picture, and of
  /// 16 bits the upper 8, as Pillow has them.
  enum class Kind { as_stored, color };

  bool read_size() {
    if (info_ == nullptr) return false;
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, &take);
    // Texts, profiles and gammas are not even inflated.
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_read_info(png_, info_);
    width = png_get_image_width(png_, info_);
    height = png_get_image_height(png_, info_);
    return true;
  }

  bool fits(std::uint64_t most_pixels) const { return height <= most_pixels / width; }  // libpng admits no zeros

  bool prepare(Kind kind) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_palette_to_rgb(png_);
    png_set_expand_gray_1_2_4_to_8(png_);
    if (kind == Kind::color) {
      png_set_strip_16(png_);
      png_set_gray_to_rgb(png_);
    } else {
      png_set_scale_16(png_);
    }
    png_set_strip_alpha(png_);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    channels = png_get_channels(png_, info_);
    bool const known = (channels == 1 || channels == 3) && png_get_bit_depth(png_, info_) == 8;
    return known && png_get_rowbytes(png_, info_) == std::size_t(width) * channels;
  }

  bool read_rows(png_bytepp rows) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_image(png_, rows);
    return true;
  }

  png_uint_32 height = 0, width = 0;
  unsigned channels = 0;

 private:
  [[noreturn]] static void on_error(png_structp png, png_const_charp) { png_longjmp(png, 1); }
  static void on_warning(png_structp, png_const_charp) {}
  static void take(png_structp png, png_bytep to, std::size_t count) {
    auto& rest = static_cast<PngDecoder*>(png_get_io_ptr(png))->rest_;
    if (count > rest.size()) png_error(png, "truncated");
    std::copy_n(rest.data(), count, to);
    rest = rest.subspan(count);
  }

  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::span<unsigned char const> rest_;
};

/// Decodes a PNG of any kind to grey, 8 bits a pixel. Values are taken as stored: no gamma, no colour profile; alpha
/// and transparent colours are ignored. 16 bits become 8 (v / 257, rounded), 1, 2 and 4 bits are spread from 0 to 255,
/// palettes are looked up, colours become grey by `grey_of`. None if the bytes are no PNG whose pixels can all be read,
/// or if it has more than `most_pixels`: a header is no reason to allocate more.
inline std::optional<GreyImage> decode_png(std::span<unsigned char const> bytes,
                                           std::uint32_t most_pixels = std::uint32_t(1) << 26) {
  PngDecoder decoder(bytes);
  if (!decoder.read_head(most_pixels)) return std::nullopt;
  GreyImage result{decoder.height, decoder.width, {}};
  std::size_t const stride = result.width * decoder.channels;
  result.pixels.resize(result.height * stride);
  std::vector<png_bytep> rows(result.height);
  for (std::size_t y = 0; y < result.height; ++y) rows[y] = result.pixels.data() + y * stride;
  if (!decoder.read_rows(rows.data())) return std::nullopt;
  if (decoder.channels == 3) {
    auto& p = result.pixels;  // in place: a grey pixel is written where all colours before it have been read
    for (std::size_t i = 0; i < result.height * result.width; ++i) p[i] = grey_of(p[3 * i], p[3 * i + 1], p[3 * i + 2]);
    p.resize(result.height * result.width);
  }
  return result;
}

/// Writes pixels (height, width) as a PNG of 8 bits and one channel.
inline void write_png(std::filesystem::path const& path, std::span<std::uint8_t const> pixels, std::size_t width) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.format = PNG_FORMAT_GRAY;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(pixels.size() / width);
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::vector<char> bytes(size);
  bool const encoded = png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels.data(), 0, nullptr) != 0;
  ATTN_CHECK(encoded, "write_png: cannot encode '", path.string(), "': ", image.message);
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(size));
  ATTN_CHECK(bool(file.flush()), "write_png: cannot write '", path.string(), "'");
}

}  // namespace attn::data::detail
