/// Where a variable of a .mat file lies, and how its bytes become numbers; both formats of such files share this.
#pragma once

#include "attn/core/check.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace attn::io::detail {

using MatBytes = std::span<unsigned char const>;

/// The words that follow the name of a variable that cannot be read, "is text", say.
struct MatObstacle {
  std::string words;
  bool damage = false;  // the file is at fault; otherwise the variable is of a kind that is not read
};

/// A variable: its name and shape, and where its numbers are.
struct MatEntry {
  std::string name;
  std::vector<std::size_t> shape;
  std::optional<MatObstacle> obstacle;
  MatBytes bytes;  // version 4: the numbers; 5: the matrix, or the zlib stream that holds it
  bool compressed = false;
  std::size_t numbers_at = 0;  // version 5: where the numbers' tag begins in the matrix
  std::uint32_t type = 0;      // version 4: the type of the numbers, as version 5 numbers them
};

/// One number of a type, from bytes in this machine's order or the other one.
template <class T>
T mat_number(unsigned char const* from, bool swapped) {
  unsigned char raw[sizeof(T)];
  std::memcpy(raw, from, sizeof raw);
  if (swapped) std::reverse(raw, raw + sizeof raw);
  T value;
  std::memcpy(&value, raw, sizeof value);
  return value;
}

/// The elements of an array, at most 2^32 - 1; throws an obstacle for extents that are negative or too large.
inline std::size_t mat_count(std::span<std::int32_t const> extents, std::vector<std::size_t>& shape) {
  std::size_t count = 1;
  for (std::int32_t const extent : extents) {
    if (extent < 0 || (extent > 0 && count > std::numeric_limits<std::uint32_t>::max() / std::size_t(extent))) {
      throw MatObstacle{"has impossible dimensions", true};
    }
    shape.push_back(static_cast<std::size_t>(extent));
    count *= static_cast<std::size_t>(extent);
  }
  return count;
}

template <class T>
std::vector<double> mat_numbers_of(MatBytes bytes, std::size_t count, bool swapped) {
  if (bytes.size() != count * sizeof(T)) {
    throw MatObstacle{"has " + std::to_string(count) + " elements but " + std::to_string(bytes.size()) + " bytes",
                      true};
  }
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = static_cast<double>(mat_number<T>(bytes.data() + i * sizeof(T), swapped));
  }
  return values;
}

/// `count` numbers of a type, by its code in files of version 5.
inline std::vector<double> mat_numbers(std::uint32_t type, MatBytes bytes, std::size_t count, bool swapped) {
  switch (type) {
    case 1:
      return mat_numbers_of<std::int8_t>(bytes, count, swapped);
    case 2:
      return mat_numbers_of<std::uint8_t>(bytes, count, swapped);
    case 3:
      return mat_numbers_of<std::int16_t>(bytes, count, swapped);
    case 4:
      return mat_numbers_of<std::uint16_t>(bytes, count, swapped);
    case 5:
      return mat_numbers_of<std::int32_t>(bytes, count, swapped);
    case 6:
      return mat_numbers_of<std::uint32_t>(bytes, count, swapped);
    case 7:
      return mat_numbers_of<float>(bytes, count, swapped);
    case 9:
      return mat_numbers_of<double>(bytes, count, swapped);
    case 12:
      return mat_numbers_of<std::int64_t>(bytes, count, swapped);
    case 13:
      return mat_numbers_of<std::uint64_t>(bytes, count, swapped);
    default:
      throw MatObstacle{"has elements of the unknown type " + std::to_string(type), true};
  }
}

}  // namespace attn::io::detail
