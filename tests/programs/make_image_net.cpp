// Writes drawn pictures in exactly ImageNet's layout: train/<wnid>/<wnid>_<i>.JPEG and val/<wnid>/*.JPEG.
//
//   make_image_net FOLDER [classes] [training pictures of a class] [validation pictures of a class] [side]
//
// As there, pictures have unlike sizes, a few are grey, one in a hundred is CMYK as Adobe's programs write it, and one
// is a PNG called JPEG. A class is a color, a direction of stripes and their width.
#include <zlib.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>
// Needs std::size_t and FILE, which it does not include.
#include <jpeglib.h>

namespace {

using Path = std::filesystem::path;

struct Picture {
  unsigned width = 0, height = 0, channels = 3;
  std::vector<unsigned char> pixels = {};  // (height, width, channels)
};

class Random {
 public:
  explicit Random(std::uint32_t seed) : state_(seed * 2654435761u + 12345u) {}
  unsigned operator()(unsigned below) {
    state_ = state_ * 1664525u + 1013904223u;
    return (state_ >> 8) % below;
  }

 private:
  std::uint32_t state_;
};

Picture draw(int label, Random& random, unsigned side) {
  Picture picture{.width = side + random(side / 2 + 1), .height = side + random(side / 2 + 1)};
  double const angle = label * 0.7, period = 4 + label % 7;
  unsigned const color[3] = {unsigned(label * 37 % 256), unsigned(label * 101 % 256), unsigned(label * 17 % 256)};
  for (unsigned y = 0; y < picture.height; ++y) {
    for (unsigned x = 0; x < picture.width; ++x) {
      double const stripe = std::sin((x * std::cos(angle) + y * std::sin(angle)) * 6.28 / period);
      for (unsigned const c : color) {
        double const value = c * (0.6 + 0.4 * stripe) + random(40);
        picture.pixels.push_back(static_cast<unsigned char>(value > 255 ? 255 : value));
      }
    }
  }
  return picture;
}

Picture grey(Picture const& color) {
  Picture picture{.width = color.width, .height = color.height, .channels = 1};
  for (std::size_t i = 0; i < color.pixels.size(); i += 3) picture.pixels.push_back(color.pixels[i + 1]);
  return picture;
}

/// Ink, which Adobe's programs store upside down: 255 is none.
Picture cmyk(Picture const& color) {
  Picture picture{.width = color.width, .height = color.height, .channels = 4};
  for (std::size_t i = 0; i < color.pixels.size(); i += 3) {
    picture.pixels.insert(picture.pixels.end(), {color.pixels[i], color.pixels[i + 1], color.pixels[i + 2], 255});
  }
  return picture;
}

void write(Path const& path, std::string const& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

void write_jpeg(Path const& path, Picture const& picture) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &memory, &size);
  info.image_width = picture.width;
  info.image_height = picture.height;
  info.input_components = static_cast<int>(picture.channels);
  info.in_color_space = picture.channels == 1 ? JCS_GRAYSCALE : picture.channels == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 85, TRUE);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    std::size_t const row = std::size_t(info.next_scanline) * picture.width * picture.channels;
    JSAMPROW line = const_cast<unsigned char*>(picture.pixels.data() + row);
    jpeg_write_scanlines(&info, &line, 1);
  }
  jpeg_finish_compress(&info);
  write(path, std::string(reinterpret_cast<char*>(memory), size));
  jpeg_destroy_compress(&info);
  std::free(memory);
}

void write_png(Path const& path, Picture const& picture) {
  std::string rows;
  std::size_t const row = std::size_t(picture.width) * picture.channels;
  for (unsigned y = 0; y < picture.height; ++y) {
    rows += '\0';  // no filter
    rows.append(reinterpret_cast<char const*>(picture.pixels.data() + y * row), row);
  }
  std::string packed(::compressBound(rows.size()), '\0');
  uLongf length = packed.size();
  ::compress(reinterpret_cast<Bytef*>(packed.data()), &length, reinterpret_cast<Bytef const*>(rows.data()),
             rows.size());
  packed.resize(length);
  auto const number = [](std::uint32_t value) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
    return bytes;
  };
  std::string png("\x89PNG\r\n\x1a\n", 8);
  auto const chunk = [&](std::string const& type, std::string const& data) {
    std::string const body = type + data;
    auto const crc = ::crc32(0, reinterpret_cast<Bytef const*>(body.data()), static_cast<uInt>(body.size()));
    png += number(static_cast<std::uint32_t>(data.size())) + body + number(static_cast<std::uint32_t>(crc));
  };
  std::string header = number(picture.width) + number(picture.height) + '\x08';
  header += picture.channels == 1 ? '\0' : '\2';
  header.append(3, '\0');
  chunk("IHDR", header);
  chunk("IDAT", packed);
  chunk("IEND", "");
  write(path, png);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "make_image_net FOLDER [classes] [training pictures] [validation pictures] [side]\n");
    return 2;
  }
  auto const argument = [&](int i, int otherwise) { return argc > i ? std::atoi(argv[i]) : otherwise; };
  int const classes = argument(2, 1000), per_part[] = {argument(3, 4), argument(4, 1)};
  auto const side = static_cast<unsigned>(argument(5, 48));
  int number = 0;
  for (int part = 0; part < 2; ++part) {
    for (int label = 0; label < classes; ++label) {
      char wnid[16];
      std::snprintf(wnid, sizeof wnid, "n%08d", 1440764 + 13 * label);
      Path const folder = Path(argv[1]) / (part == 0 ? "train" : "val") / wnid;
      std::filesystem::create_directories(folder);
      for (int i = 0; i < per_part[part]; ++i, ++number) {
        Random random(static_cast<std::uint32_t>(number));
        Picture const picture = draw(label, random, side);
        char name[40];
        if (part == 0) std::snprintf(name, sizeof name, "%s_%d.JPEG", wnid, i);
        if (part == 1) std::snprintf(name, sizeof name, "ILSVRC2012_val_%08d.JPEG", number);
        if (number == 5) {
          write_png(folder / name, picture);
        } else if (number % 100 == 3) {
          write_jpeg(folder / name, cmyk(picture));
        } else {
          write_jpeg(folder / name, number % 10 == 7 ? grey(picture) : picture);
        }
      }
    }
  }
}
