/// Encoding: an image becomes the bytes of a JPEG file.
#pragma once

#include "attn/data/image.hpp"

#include <jpeglib.h>

#include <csetjmp>
#include <cstdio>  // before jpeglib.h, which wants it
#include <cstdlib>
#include <string>

namespace attn::data {

namespace detail {

/// What libjpeg works with. It reports errors by a jump, so nothing that has a destructor lives where it is called.
class JpegEncoder {
 public:
  JpegEncoder() {
    jpeg_.err = jpeg_std_error(&errors_);
    errors_.error_exit = [](j_common_ptr jpeg) {
      std::longjmp(static_cast<JpegEncoder*>(jpeg->client_data)->back_, 1);
    };
    errors_.output_message = [](j_common_ptr) {};
    jpeg_.client_data = this;
  }
  JpegEncoder(JpegEncoder&&) = delete;
  ~JpegEncoder() {
    jpeg_destroy_compress(&jpeg_);
    std::free(bytes_);
  }

  bool encode(Image const& image, int quality) {
    if (setjmp(back_) != 0) return false;
    jpeg_create_compress(&jpeg_);
    jpeg_mem_dest(&jpeg_, &bytes_, &size_);
    jpeg_.image_width = JDIMENSION(image.width);
    jpeg_.image_height = JDIMENSION(image.height);
    jpeg_.input_components = int(image.channels);
    jpeg_.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&jpeg_);
    jpeg_set_quality(&jpeg_, quality, TRUE);
    jpeg_start_compress(&jpeg_, TRUE);
    while (jpeg_.next_scanline < jpeg_.image_height) {
      JSAMPROW rows[1] = {const_cast<JSAMPROW>(image.at(jpeg_.next_scanline, 0))};
      jpeg_write_scanlines(&jpeg_, rows, 1);
    }
    jpeg_finish_compress(&jpeg_);
    return true;
  }
  std::string bytes() const { return {reinterpret_cast<char const*>(bytes_), size_}; }

 private:
  jpeg_compress_struct jpeg_ = {};
  jpeg_error_mgr errors_ = {};
  std::jmp_buf back_ = {};
  unsigned char* bytes_ = nullptr;
  unsigned long size_ = 0;
};

}  // namespace detail

/// image -> bytes of a baseline JPEG, its colors at half the resolution; `quality` from 1 to 100.
inline std::string encode_jpeg(Image const& image, int quality = 90) {
  check(image, "encode_jpeg");
  ATTN_CHECK(quality >= 1 && quality <= 100, "encode_jpeg: give a quality from 1 to 100, got ", quality);
  ATTN_CHECK(image.height <= 65500 && image.width <= 65500,
             "encode_jpeg: give an image of at most 65500 pixels a side, got ", image.height, " x ", image.width);
  detail::JpegEncoder encoder;
  ATTN_CHECK(encoder.encode(image, quality), "encode_jpeg: libjpeg cannot encode ", image.height, " x ", image.width,
             " pixels");
  return encoder.bytes();
}

}  // namespace attn::data
