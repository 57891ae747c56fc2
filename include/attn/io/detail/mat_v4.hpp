/// MATLAB's files of version 4 (`save -v4`): for each variable five numbers of 32 bits, a name, and the values.
#pragma once

#include "attn/io/detail/mat_numbers.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace attn::io::detail {

/// Whether a file starts like one of version 4: a later one begins with text, where no byte is zero.
inline bool is_mat_v4(MatBytes file) {
  return file.size() >= 20 && (file[0] == 0 || file[1] == 0 || file[2] == 0 || file[3] == 0);
}

/// The first number of a variable, M O P T in decimal digits, is small in the order of bytes that wrote it.
inline bool mat_v4_swapped(MatBytes file) {
  std::int32_t const word = mat_number<std::int32_t>(file.data(), false);
  return word < 0 || word > 5000;
}

/// The variables of a file of version 4; throws an obstacle without a name where the file itself is at fault.
inline std::vector<MatEntry> mat_v4_entries(MatBytes file) {
  static constexpr std::uint32_t types[] = {9, 7, 5, 3, 4, 2};  // double, single, int32, int16, uint16, uint8
  static constexpr std::size_t widths[] = {8, 4, 4, 2, 2, 1};
  constexpr std::size_t head = 20;
  bool const swapped = mat_v4_swapped(file);
  std::vector<MatEntry> entries;
  for (std::size_t at = 0; at < file.size();) {
    if (file.size() - at < head) throw MatObstacle{"is truncated: its last variable has no complete head", true};
    std::int32_t word[5];
    for (std::size_t i = 0; i < 5; ++i) word[i] = mat_number<std::int32_t>(file.data() + at + 4 * i, swapped);
    std::int32_t const machine = word[0] / 1000, number = word[0] / 10 % 10, kind = word[0] % 10;
    bool const known = word[0] >= 0 && machine <= 4 && word[0] / 100 % 10 == 0 && number < 6 && kind < 3;
    if (!known || word[4] < 1 || (word[3] != 0 && word[3] != 1)) {
      throw MatObstacle{entries.empty() ? "is not a .mat file of version 4 or 5"
                                        : "is corrupt: after '" + entries.back().name + "' there is no variable",
                        true};
    }
    at += head;
    std::size_t const length = static_cast<std::size_t>(word[4]);
    if (length > file.size() - at) throw MatObstacle{"is truncated within the name of a variable", true};
    MatEntry e;
    e.name.assign(file.begin() + static_cast<std::ptrdiff_t>(at),
                  file.begin() + static_cast<std::ptrdiff_t>(at + length));
    e.name.resize(std::min(e.name.find('\0'), e.name.size()));
    at += length;
    std::int32_t const extents[] = {word[1], word[2]};
    std::size_t count = 0;
    try {
      count = mat_count(extents, e.shape);
    } catch (MatObstacle const& obstacle) {  // where the next variable begins is not known then
      throw MatObstacle{"is corrupt: '" + e.name + "' " + obstacle.words, true};
    }
    std::size_t const size = count * widths[number];
    if (size * static_cast<std::size_t>(1 + word[3]) > file.size() - at) {
      throw MatObstacle{"is truncated within '" + e.name + "'", true};
    }
    e.bytes = file.subspan(at, size);
    e.type = types[number];
    at += size * static_cast<std::size_t>(1 + word[3]);
    if (kind == 1) e.obstacle = MatObstacle{"is text"};
    if (kind == 2) e.obstacle = MatObstacle{"is sparse; save full(" + e.name + ")"};
    if (machine > 1) e.obstacle = MatObstacle{"has the floating-point numbers of a VAX or Cray; save it elsewhere"};
    if (word[3] == 1) e.obstacle = MatObstacle{"holds complex numbers; save its parts"};
    entries.push_back(std::move(e));
  }
  return entries;
}

}  // namespace attn::io::detail
