/// What can every trainer be told? Kept apart from the parser of command lines, which costs seconds to compile.
#pragma once

#include "attn/io/file.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace attn::io {

/// The flags that all trainers share; `add_common_options` declares them (io/options.hpp).
struct CommonOptions {
  std::string activation = "softmax";
  int power = 3;
  std::string scale = "none";
  std::uint64_t seed = 0;
  Path out;
  Path weights;
  bool evaluate = false;
  int threads = 0;  // 0: as many as Kokkos takes by itself

  /// What --activation accepts; a program with an activation of its own appends its name before `run_main`.
  std::vector<std::string> activations = {"softmax", "poly", "relu", "sigmoid"};
};

}  // namespace attn::io
