// Pictures under any name: all of one, and the part of a box at a smaller size.
#include "attn/data/decode_image.hpp"

#include <cstdint>
#include <cstdlib>
#include <span>

#include "fuzz/memory_file.hpp"

int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  using namespace attn::data;
  DecodeOptions const options = {.most_pixels = 1 << 16};
  for (bool const whole : {true, false}) {
    try {
      EncodedImage encoded(std::span(bytes, size), "file", options);
      Image image;
      double const height = double(encoded.height()), width = double(encoded.width());
      if (whole) {
        encoded.decode(image);
        if (image.height != encoded.height() || image.width != encoded.width()) std::abort();
      } else {
        encoded.decode({.top = height / 2, .left = width / 3, .height = height / 2, .width = width / 3}, 2, 2, image);
      }
      check(image, "fuzz_image");
    } catch (attn::Error const&) {
    }
  }
  return 0;
}
