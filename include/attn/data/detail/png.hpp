/// Grey PNG images in memory, through libpng.
#pragma once

#include "attn/core/check.hpp"

#include <png.h>

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

/// Decodes a PNG; colours become grey. None if the bytes are no PNG that can be read to its end.
inline std::optional<GreyImage> decode_png(std::vector<unsigned char> const& bytes) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (bytes.empty() || !png_image_begin_read_from_memory(&image, bytes.data(), bytes.size())) return std::nullopt;
  image.format = PNG_FORMAT_GRAY;
  GreyImage result{image.height, image.width, {}};
  constexpr std::size_t most = std::size_t(1) << 26;  // pixels; a header is no reason to allocate more
  if (result.height > most || result.width > most || result.height * result.width > most) {
    png_image_free(&image);
    return std::nullopt;
  }
  result.pixels.resize(PNG_IMAGE_SIZE(image));
  bool const read = png_image_finish_read(&image, nullptr, result.pixels.data(), 0, nullptr) != 0;
  png_image_free(&image);
  return read ? std::optional(std::move(result)) : std::nullopt;
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
