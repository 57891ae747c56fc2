/// Reading JPEG through libjpeg: a part of a picture, at full size or at a half, a quarter or an eighth.
#pragma once

#include "attn/data/image.hpp"

#include <jpeglib.h>

#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>  // before jpeglib.h, which wants it
#include <span>

namespace attn::data::detail {

/// The image data of a JPEG file end with this marker. It cannot occur within them, so it tells whether a file was cut
/// off without a look at all of it.
inline bool has_end_marker(std::span<unsigned char const> bytes) {
  for (std::size_t i = bytes.size(); i-- > 1;) {
    if (bytes[i - 1] == 0xff && bytes[i] == 0xd9) return true;
  }
  return false;
}

/// What libjpeg works with. It reports errors by a jump, so nothing that has a destructor lives where it is called.
class JpegDecoder {
 public:
  explicit JpegDecoder(std::span<unsigned char const> bytes) {
    jpeg_.err = jpeg_std_error(&errors_);
    errors_.error_exit = &on_error;
    errors_.emit_message = [](j_common_ptr, int) {};  // of warnings: Pillow and torchvision pass over them as well
    errors_.output_message = [](j_common_ptr) {};
    jpeg_.client_data = this;
    if (setjmp(back_) != 0) return;
    jpeg_create_decompress(&jpeg_);
    made_ = true;
    source_.init_source = [](j_decompress_ptr) {};
    source_.term_source = [](j_decompress_ptr) {};
    source_.fill_input_buffer = &on_end;
    source_.skip_input_data = &skip;
    source_.resync_to_restart = jpeg_resync_to_restart;
    source_.next_input_byte = bytes.data();
    source_.bytes_in_buffer = bytes.size();
    jpeg_.src = &source_;
    progress_.progress_monitor = &count_scans;
    jpeg_.progress = &progress_;
  }
  JpegDecoder(JpegDecoder&&) = delete;
  ~JpegDecoder() {
    if (made_) jpeg_destroy_decompress(&jpeg_);
  }

  /// Sizes and components. False if the bytes are no JPEG that can be decoded.
  bool read_head() {
    if (!made_) return false;
    if (setjmp(back_) != 0) return false;
    jpeg_read_header(&jpeg_, TRUE);
    height = jpeg_.image_height;
    width = jpeg_.image_width;
    components = jpeg_.num_components;
    truncated = !has_end_marker({source_.next_input_byte, source_.bytes_in_buffer});
    bool const known = components == 1 || components == 3 || components == 4;
    if (known) jpeg_.out_color_space = components == 4 ? JCS_CMYK : JCS_RGB;
    return known && !truncated;
  }

  /// Begins to decode at 1 / `denominator` (1, 2, 4 or 8) of the size: now `scaled_height` and `scaled_width` hold.
  bool start(unsigned denominator) {
    if (setjmp(back_) != 0) return false;
    jpeg_.scale_num = 1;
    jpeg_.scale_denom = denominator;
    jpeg_start_decompress(&jpeg_);
    scaled_height = jpeg_.output_height;
    scaled_width = jpeg_.output_width;
    return true;
  }

  /// Leaves out columns outside of [left, right), as far as whole blocks allow it: columns [first, first + columns)
  /// will come. The blocks beside are kept, for colors are interpolated across their edges.
  bool crop(std::size_t left, std::size_t right) {
    first = 0;
    columns = jpeg_.output_width;
    if (setjmp(back_) != 0) return false;
    JDIMENSION const block = JDIMENSION(jpeg_.max_h_samp_factor * jpeg_.min_DCT_scaled_size);
    JDIMENSION const margin = 2 * block;
    JDIMENSION from = JDIMENSION(left) > margin ? JDIMENSION(left) - margin : 0;
    JDIMENSION const to = std::min(jpeg_.output_width, JDIMENSION(right) + margin);
    JDIMENSION count = to - from;
    if (from == 0 && count == jpeg_.output_width) return true;
    jpeg_crop_scanline(&jpeg_, &from, &count);
    first = from;
    columns = count;
    return true;
  }

  bool skip_rows(std::size_t count) {
    if (setjmp(back_) != 0) return false;
    return count == 0 || jpeg_skip_scanlines(&jpeg_, JDIMENSION(count)) == count;
  }

  /// The next row: 3 or 4 bytes for each of `columns`.
  bool read_row(std::uint8_t* row) {
    if (setjmp(back_) != 0) return false;
    JSAMPROW rows[1] = {row};
    return jpeg_read_scanlines(&jpeg_, rows, 1) == 1;
  }

  std::size_t height = 0, width = 0, scaled_height = 0, scaled_width = 0, first = 0, columns = 0;
  int components = 0;
  bool truncated = false;

  /// What libjpeg says of an error.
  char const* message() {
    if (!failed_) return "it has neither 1, 3 nor 4 components";
    jpeg_.err->format_message(reinterpret_cast<j_common_ptr>(&jpeg_), text_);
    return text_;
  }

 private:
  static JpegDecoder& self(j_common_ptr jpeg) { return *static_cast<JpegDecoder*>(jpeg->client_data); }
  [[noreturn]] static void on_error(j_common_ptr jpeg) {
    self(jpeg).failed_ = true;
    std::longjmp(self(jpeg).back_, 1);
  }
  [[noreturn]] static void stop_truncated(j_decompress_ptr jpeg) {
    auto const common = reinterpret_cast<j_common_ptr>(jpeg);
    self(common).truncated = true;
    on_error(common);
  }
  static boolean on_end(j_decompress_ptr jpeg) { stop_truncated(jpeg); }
  static void skip(j_decompress_ptr jpeg, long count) {
    if (count <= 0) return;
    auto* const source = jpeg->src;
    if (std::size_t(count) > source->bytes_in_buffer) stop_truncated(jpeg);
    source->next_input_byte += count;
    source->bytes_in_buffer -= std::size_t(count);
  }
  /// A small file may hold thousands of scans, each of which costs as much as the picture is large.
  static void count_scans(j_common_ptr jpeg) {
    if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number > 500) on_error(jpeg);
  }

  jpeg_decompress_struct jpeg_ = {};
  jpeg_error_mgr errors_ = {};
  jpeg_source_mgr source_ = {};
  jpeg_progress_mgr progress_ = {};
  std::jmp_buf back_ = {};
  char text_[JMSG_LENGTH_MAX] = {};
  bool made_ = false, failed_ = false;
};

/// Cyan, magenta, yellow and black as JPEG files hold them, inverted -> red, green and blue, as Pillow makes them.
inline void rgb_of_inverted_cmyk(std::uint8_t const* in, std::size_t pixels, std::uint8_t* out) {
  for (std::size_t p = 0; p < pixels; ++p) {
    int const light = in[4 * p + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      int const product = (255 - in[4 * p + c]) * light + 128;
      out[3 * p + c] = static_cast<std::uint8_t>(std::max(0, light - (((product >> 8) + product) >> 8)));
    }
  }
}

}  // namespace attn::data::detail
