// Images as they are, and with the checksum of each chunk made right, which no mutation would do.
#include "attn/data/detail/png.hpp"

#include <zlib.h>

#include "fuzz/memory_file.hpp"

namespace {

constexpr std::uint32_t most_pixels = 1 << 16;

void decode(std::vector<unsigned char> const& bytes) {
  auto const image = attn::data::detail::decode_png(bytes, most_pixels);
  if (image && (image->pixels.size() != image->height * image->width || image->pixels.size() > most_pixels)) {
    std::abort();
  }
}

void mend_checksums(std::vector<unsigned char>& png) {
  for (std::size_t at = 8; at + 12 <= png.size();) {
    std::size_t length = 0;
    for (std::size_t b = 0; b < 4; ++b) length = length << 8 | png[at + b];
    if (length > png.size() - at - 12) return;
    uLong const sum = ::crc32(0, png.data() + at + 4, static_cast<uInt>(length + 4));
    for (std::size_t b = 0; b < 4; ++b) png[at + 8 + length + b] = static_cast<unsigned char>(sum >> (24 - 8 * b));
    at += 12 + length;
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  std::vector<unsigned char> png(bytes, bytes + size);
  decode(png);
  mend_checksums(png);
  decode(png);
  return 0;
}
