/// MATLAB's files of version 5 (`save -v6` and `-v7`): named numeric arrays, compressed or not.
#pragma once

#include "attn/io/dtype.hpp"
#include "attn/io/file.hpp"

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attn::io {

/// A numeric array of a .mat file as doubles, in the file's own order: the *first* index varies fastest.
struct MatArray {
  std::vector<std::size_t> shape;  // at least two extents
  std::vector<double> values;

  double operator()(std::size_t i, std::size_t j) const { return values[i + shape[0] * j]; }
  double operator()(std::size_t i, std::size_t j, std::size_t k) const {
    return values[i + shape[0] * (j + shape[1] * k)];
  }
};

namespace detail {

/// The elements of a .mat file: tag, bytes, padding; some of them nested in others.
class MatParser {
 public:
  MatParser(std::span<unsigned char const> bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {}

  struct Element {
    std::uint32_t type = 0;
    std::span<unsigned char const> data;
  };

  bool at_end() const { return at_ >= bytes_.size(); }

  Element next() {
    check(bytes_.size() - at_ >= 8, "is truncated: its last element has no complete tag");
    std::uint32_t const first = read<std::uint32_t>(bytes_, at_);
    Element e;
    if (first >> 16 != 0) {  // small: type and length share a word, up to four bytes follow
      std::size_t const size = first >> 16;
      check(size <= 4, "is corrupt: a small element claims ", size, " bytes");
      e = {first & 0xffffu, bytes_.subspan(at_ + 4, size)};
      at_ += 8;
      return e;
    }
    std::size_t const size = read<std::uint32_t>(bytes_, at_ + 4);
    at_ += 8;
    check(size <= bytes_.size() - at_, "is truncated: an element of ", size, " bytes ends after ", bytes_.size() - at_);
    e = {first, bytes_.subspan(at_, size)};
    at_ += size;
    if (first != compressed) at_ = std::min(bytes_.size(), (at_ + 7) / 8 * 8);
    return e;
  }

  /// Adds the arrays of all elements to `arrays`; cells, structures, text and sparse arrays are passed over.
  void read_arrays(std::map<std::string, MatArray>& arrays) {
    while (!at_end()) {
      Element const e = next();
      if (e.type == compressed) {
        std::vector<unsigned char> const content = inflate(e.data);
        MatParser(content, name_).read_arrays(arrays);
      } else if (e.type == matrix) {
        MatParser(e.data, name_).read_matrix(arrays);
      }
    }
  }

 private:
  static constexpr std::uint32_t matrix = 14, compressed = 15;

  template <class... Parts>
  void check(bool good, Parts const&... parts) const {
    ATTN_CHECK(good, "read_mat: '", name_, "' ", parts...);
  }

  template <class T>
  static T read(std::span<unsigned char const> from, std::size_t at) {
    T value;
    std::memcpy(&value, from.data() + at, sizeof value);
    return value;
  }

  void read_matrix(std::map<std::string, MatArray>& arrays) {
    if (bytes_.empty()) return;  // an empty array without a name
    Element const flags = next(), dimensions = next(), name = next();
    check(flags.data.size() == 8 && dimensions.data.size() % 4 == 0 && dimensions.data.size() >= 8,
          "is corrupt: an array has no proper flags or dimensions");
    std::uint32_t const word = read<std::uint32_t>(flags.data, 0);
    std::uint32_t const kind = word & 0xffu;
    if (kind < 6 || kind > 15) return;  // 6 ... 15: double, single, integers
    std::string const text(name.data.begin(), name.data.end());
    check((word & 0x800u) == 0, "holds complex numbers in '", text, "'; save its parts");
    MatArray array;
    std::size_t count = 1;
    for (std::size_t i = 0; i < dimensions.data.size(); i += 4) {
      std::int32_t const extent = read<std::int32_t>(dimensions.data, i);
      check(extent >= 0 && (extent == 0 || count <= std::numeric_limits<std::uint32_t>::max() / std::size_t(extent)),
            "is corrupt: impossible dimensions of '", text, "'");
      array.shape.push_back(static_cast<std::size_t>(extent));
      count *= static_cast<std::size_t>(extent);
    }
    array.values = numbers(next(), text, count);
    arrays.insert_or_assign(text, std::move(array));
  }

  std::vector<double> numbers(Element const& e, std::string const& array, std::size_t count) const {
    switch (e.type) {
      case 1:
        return numbers_of<std::int8_t>(e, array, count);
      case 2:
        return numbers_of<std::uint8_t>(e, array, count);
      case 3:
        return numbers_of<std::int16_t>(e, array, count);
      case 4:
        return numbers_of<std::uint16_t>(e, array, count);
      case 5:
        return numbers_of<std::int32_t>(e, array, count);
      case 6:
        return numbers_of<std::uint32_t>(e, array, count);
      case 7:
        return numbers_of<float>(e, array, count);
      case 9:
        return numbers_of<double>(e, array, count);
      case 12:
        return numbers_of<std::int64_t>(e, array, count);
      case 13:
        return numbers_of<std::uint64_t>(e, array, count);
      default:
        check(false, "is corrupt: '", array, "' has elements of the unknown type ", e.type);
        return {};
    }
  }

  template <class T>
  std::vector<double> numbers_of(Element const& e, std::string const& array, std::size_t count) const {
    check(e.data.size() == count * sizeof(T), "is corrupt: '", array, "' has ", count, " elements but ", e.data.size(),
          " bytes");
    std::vector<double> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<double>(read<T>(e.data, i * sizeof(T)));
    return values;
  }

  std::vector<unsigned char> inflate(std::span<unsigned char const> data) const {
    z_stream stream{};
    check(::inflateInit(&stream) == Z_OK, "cannot be read: zlib could not start");
    std::unique_ptr<z_stream, int (*)(z_stream*)> const owner(&stream, &::inflateEnd);
    stream.next_in = const_cast<unsigned char*>(data.data());
    stream.avail_in = static_cast<uInt>(data.size());
    std::vector<unsigned char> out(std::max<std::size_t>(4 * data.size(), 1024));
    for (std::size_t used = 0;;) {
      std::size_t const room = std::min<std::size_t>(out.size() - used, std::numeric_limits<uInt>::max());
      stream.next_out = out.data() + used;
      stream.avail_out = static_cast<uInt>(room);
      int const status = ::inflate(&stream, Z_NO_FLUSH);
      used += room - stream.avail_out;
      if (status == Z_STREAM_END) {
        out.resize(used);
        return out;
      }
      check(status == Z_OK || status == Z_BUF_ERROR, "is corrupt: its compressed data cannot be inflated");
      check(stream.avail_in > 0 || stream.avail_out == 0, "is truncated: its compressed data ends too early");
      if (used == out.size()) out.resize(2 * out.size());
    }
  }

  std::span<unsigned char const> bytes_;
  std::string name_;
  std::size_t at_ = 0;
};

}  // namespace detail

/// All real numeric arrays of a file, by name. Throws `attn::Error` for a file that is truncated, corrupt, big-endian,
/// or of another version (older ones have no header, newer ones are HDF5).
inline std::map<std::string, MatArray> read_mat(Path const& path) {
  MappedFile const file(path);
  std::span const bytes(reinterpret_cast<unsigned char const*>(file.data()), file.size());
  std::string const name = path.string();
  constexpr std::size_t header = 128;
  std::string_view const start = file.text().substr(0, header);
  ATTN_CHECK(start.find("HDF") != 1 && !start.starts_with("MATLAB 7.3"), "read_mat: '", name,
             "' is of version 7.3; save it again with -v7");
  ATTN_CHECK(bytes.size() >= header, "read_mat: give a .mat file of version 5, '", name, "' is truncated (",
             bytes.size(), " bytes, its header alone has ", header, ")");
  ATTN_CHECK(bytes[126] != 'M' || bytes[127] != 'I', "read_mat: '", name,
             "' was written on a big-endian machine; save it again on a little-endian one");
  ATTN_CHECK(bytes[126] == 'I' && bytes[127] == 'M' && bytes[125] == 1, "read_mat: give a .mat file of version 5, '",
             name, "' is not one");
  std::map<std::string, MatArray> arrays;
  detail::MatParser(bytes.subspan(header), name).read_arrays(arrays);
  return arrays;
}

/// One array of a file. `shape`, where given, is what it must have.
inline MatArray read_mat_array(Path const& path, std::string const& array, std::vector<std::size_t> const& shape = {}) {
  auto arrays = read_mat(path);
  std::string names;
  for (auto const& [name, a] : arrays) names += (names.empty() ? "" : ", ") + name;
  auto const found = arrays.find(array);
  ATTN_CHECK(found != arrays.end(), "read_mat: '", path.string(), "' holds no numeric array '", array,
             "', only: ", names.empty() ? "none" : names);
  auto const text = [](std::vector<std::size_t> const& s) {
    std::string t;
    for (std::size_t n : s) t += (t.empty() ? "" : " x ") + std::to_string(n);
    return t;
  };
  ATTN_CHECK(shape.empty() || found->second.shape == shape, "read_mat: '", array, "' in '", path.string(), "' is ",
             text(found->second.shape), ", not ", text(shape));
  return std::move(found->second);
}

}  // namespace attn::io
