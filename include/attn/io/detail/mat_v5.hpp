/// MATLAB's files of version 5 (`save -v6` and `-v7`): elements with a tag each, matrices among them, compressed or
/// not.
#pragma once

#include "attn/io/detail/mat_numbers.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace attn::io::detail {

inline constexpr std::uint32_t mat_matrix = 14, mat_compressed = 15;

/// The elements in a stretch of bytes: tag, content, padding to eight bytes.
class MatElements {
 public:
  MatElements(MatBytes bytes, bool swapped, std::size_t at = 0) : bytes_(bytes), at_(at), swapped_(swapped) {}

  struct Element {
    std::uint32_t type = 0;
    MatBytes content;
  };

  bool at_end() const { return at_ >= bytes_.size(); }
  std::size_t at() const { return at_; }

  Element next() {
    if (at_end() || bytes_.size() - at_ < 8) fail("is truncated: its last element has no complete tag");
    std::uint32_t const first = word(at_);
    if (std::size_t const size = first >> 16; size != 0) {  // type and size share a word, up to four bytes follow
      if (size > 4) fail("is corrupt: a small element claims " + std::to_string(size) + " bytes");
      at_ += 8;
      return {first & 0xffffu, bytes_.subspan(at_ - 4, size)};
    }
    std::size_t const size = word(at_ + 4), left = bytes_.size() - at_ - 8;
    if (size > left) {
      fail("is truncated: an element of " + std::to_string(size) + " bytes ends after " + std::to_string(left));
    }
    Element const e{first, bytes_.subspan(at_ + 8, size)};
    at_ += 8 + (first == mat_compressed ? size : (size + 7) / 8 * 8);
    return e;
  }

 private:
  std::uint32_t word(std::size_t at) const { return mat_number<std::uint32_t>(bytes_.data() + at, swapped_); }
  [[noreturn]] static void fail(std::string words) { throw MatObstacle{std::move(words), true}; }

  MatBytes bytes_;
  std::size_t at_;
  bool swapped_;
};

/// Inflates a zlib stream piece by piece, each as long as asked for: what a stream could become is no reason to
/// allocate it.
class MatInflater {
 public:
  explicit MatInflater(MatBytes stream) {
    z_.next_in = const_cast<unsigned char*>(stream.data());
    z_.avail_in = static_cast<uInt>(stream.size());  // sizes of elements have 32 bits
    if (::inflateInit(&z_) != Z_OK) throw MatObstacle{"cannot be read, zlib could not start", true};
  }
  MatInflater(MatInflater&&) = delete;
  ~MatInflater() { ::inflateEnd(&z_); }

  /// Up to `most` bytes, fewer at the end of the stream.
  std::vector<unsigned char> up_to(std::size_t most) {
    std::vector<unsigned char> out(most);
    std::size_t used = 0;
    while (used < most && !ended_) {
      std::size_t const room = std::min<std::size_t>(most - used, std::numeric_limits<uInt>::max());
      z_.next_out = out.data() + used;
      z_.avail_out = static_cast<uInt>(room);
      int const status = ::inflate(&z_, Z_NO_FLUSH);
      used += room - z_.avail_out;
      ended_ = status == Z_STREAM_END;
      if (!ended_ && status != Z_OK) {
        throw MatObstacle{status == Z_BUF_ERROR ? "is truncated: its compressed data end too early"
                                                : "is corrupt: its compressed data cannot be inflated",
                          true};
      }
    }
    out.resize(used);
    return out;
  }

 private:
  z_stream z_{};
  bool ended_ = false;
};

/// The matrix in a zlib stream, which must hold it and nothing else. Its tag says its size, and deflate gains a factor
/// of 1032 at most: a tag that promises more is not believed.
inline std::vector<unsigned char> mat_inflate(MatBytes stream, bool swapped) {
  MatInflater inflater(stream);
  auto const tag = inflater.up_to(8);
  if (tag.size() < 8) throw MatObstacle{"is truncated: its compressed data hold no element", true};
  std::size_t const size = mat_number<std::uint32_t>(tag.data() + 4, swapped);
  if (size / 1032 > stream.size()) {
    throw MatObstacle{"is corrupt: " + std::to_string(stream.size()) + " compressed bytes cannot become the " +
                          std::to_string(size) + " that are announced",
                      true};
  }
  auto matrix = inflater.up_to(size);
  if (matrix.size() < size) throw MatObstacle{"is truncated: its compressed data end too early", true};
  if (inflater.up_to(8).size() == 8) throw MatObstacle{"is corrupt: more than its element is compressed", true};
  return matrix;
}

/// Why a variable of a class cannot be read, by the class's number; nothing for real numeric ones.
inline std::optional<MatObstacle> mat_v5_obstacle(std::uint32_t flags, std::string const& name) {
  switch (flags & 0xffu) {
    case 1:
      return MatObstacle{"is a cell array"};
    case 2:
      return MatObstacle{"is a structure"};
    case 4:
      return MatObstacle{"is text"};
    case 5:
      return MatObstacle{"is sparse; save full(" + name + ")"};
    case 16:
      return MatObstacle{"is a function"};
    case 3:
    case 17:
      return MatObstacle{"is an object, a string, date or table, say; save its numbers"};
    default:
      break;
  }
  std::uint32_t const kind = flags & 0xffu;  // 6 ... 15: double, single, integers
  if (kind < 6 || kind > 15) return MatObstacle{"is of the unknown class " + std::to_string(kind)};
  if ((flags & 0x800u) != 0) return MatObstacle{"holds complex numbers; save its parts"};
  return std::nullopt;
}

/// Reads what stands in front of a matrix's numbers: class, shape and name. `matrix` may end after that.
inline void mat_v5_head(MatBytes matrix, bool swapped, MatEntry& entry) {
  MatElements elements(matrix, swapped);
  auto const flags = elements.next();
  if (flags.content.size() != 8) throw MatObstacle{"has no proper flags", true};
  std::uint32_t const word = mat_number<std::uint32_t>(flags.content.data(), swapped);
  MatElements::Element dimensions;
  if ((word & 0xffu) != 17) dimensions = elements.next();  // objects have none
  auto const name = elements.next();
  entry.name.assign(name.content.begin(), name.content.end());
  entry.obstacle = mat_v5_obstacle(word, entry.name);
  if (entry.obstacle) return;
  if (dimensions.content.size() % 4 != 0 || dimensions.content.size() < 8) {
    throw MatObstacle{"has no proper dimensions", true};
  }
  std::vector<std::int32_t> extents;
  for (std::size_t i = 0; i < dimensions.content.size(); i += 4) {
    extents.push_back(mat_number<std::int32_t>(dimensions.content.data() + i, swapped));
  }
  mat_count(extents, entry.shape);
  entry.numbers_at = elements.at();
}

/// The variables of a file of version 5, whose elements begin after its header. Of compressed ones the first bytes
/// are inflated. A variable that cannot be read keeps its reason; a file that ends too early throws it.
inline std::vector<MatEntry> mat_v5_entries(MatBytes elements_of_file, bool swapped) {
  constexpr std::size_t longest_head = 4096;  // names have up to 63 letters
  std::vector<MatEntry> entries;
  for (MatElements elements(elements_of_file, swapped); !elements.at_end();) {
    auto const element = elements.next();
    if (element.type != mat_matrix && element.type != mat_compressed) continue;
    MatEntry e;
    e.bytes = element.content;
    e.compressed = element.type == mat_compressed;
    try {
      if (e.compressed) {
        auto const start = MatInflater(element.content).up_to(longest_head);
        if (start.size() < 8) throw MatObstacle{"is truncated: its compressed data hold no element", true};
        if (mat_number<std::uint32_t>(start.data(), swapped) != mat_matrix) {
          throw MatObstacle{"is corrupt: what is compressed is not an array", true};
        }
        mat_v5_head(MatBytes(start).subspan(8), swapped, e);
      } else if (!e.bytes.empty()) {
        mat_v5_head(e.bytes, swapped, e);
      }
    } catch (MatObstacle const& obstacle) {
      e.obstacle = obstacle;
    }
    if (!e.name.empty() || e.obstacle) entries.push_back(std::move(e));  // MATLAB's own data have no name
  }
  return entries;
}

/// The numbers of a variable of a file of version 5.
inline std::vector<double> mat_v5_numbers(MatEntry const& entry, std::size_t count, bool swapped) {
  std::vector<unsigned char> inflated;
  if (entry.compressed) inflated = mat_inflate(entry.bytes, swapped);
  auto const numbers =
      MatElements(entry.compressed ? MatBytes(inflated) : entry.bytes, swapped, entry.numbers_at).next();
  return mat_numbers(numbers.type, numbers.content, count, swapped);
}

}  // namespace attn::io::detail
