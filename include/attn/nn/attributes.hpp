/// Attributes: how training treats a parameter, and patterns of names that choose which.
#pragma once

#include "attn/core/check.hpp"
#include "attn/core/concepts.hpp"

#include <cmath>
#include <optional>
#include <string_view>
#include <variant>

namespace attn::nn {

/// Of a parameter (1, prefix + height width, C): learned positions of a grid, behind those of class tokens. Weights of
/// another grid are interpolated.
struct PositionGrid {
  Index height = 0;
  Index width = 0;
  Index prefix = 0;
};

/// Of a parameter ((2 height - 1) (2 width - 1), heads): biases of the relative positions in a window. Those of another
/// window are interpolated.
struct RelativePositions {
  Index height = 0;
  Index width = 0;
};

/// Of a parameter whose first extent is the number of classes. Weights for other classes leave it as it was drawn.
struct ClassRows {};

/// How weights of another shape can be made to fit, where the loader is allowed to; at first in no way.
using Adaptation = std::variant<std::monostate, PositionGrid, RelativePositions, ClassRows>;

/// What a module states where it registers a parameter, or a user changes afterwards; what is not given stays as it
/// was. `builder.add<3>("pos_embed", shape, initial, {.decays = false})`, `parameters.set("blocks.0.*", {.trained =
/// false})`.
struct ParameterAttributes {
  /// Whether weight decay applies. At first that of matrices and kernels does, that of vectors does not: timm's rule
  /// for scales and biases. Positions, tokens and tables of biases say themselves that they do not decay.
  std::optional<bool> decays = {};
  /// Whether optimizers change it; true at first. A parameter that is not trained keeps its bits and its optimizer's
  /// history, and its gradient counts as none: clipping does not see it.
  std::optional<bool> trained = {};
  /// Its learning rate is that of the optimizer times this; 1 at first.
  std::optional<double> learning_rate_factor = {};
  std::optional<Adaptation> adapts = {};
};

/// Whether `name` fits `pattern`, in which * stands for any characters, dots too, and ? for one. O(pattern name).
constexpr bool matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;  // let it stand for nothing at first, and for one character more whenever the rest does not fit
      resume = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

/// What optimizers and files see of the attributes of one parameter.
struct Treatment {
  bool decays = true;
  bool trained = true;
  double learning_rate_factor = 1;
  Adaptation adapts = {};

  /// Takes over what `changed` gives.
  void change(ParameterAttributes const& changed) {
    double const factor = changed.learning_rate_factor.value_or(learning_rate_factor);
    ATTN_CHECK(std::isfinite(factor) && factor >= 0,
               "ParameterAttributes: give a learning_rate_factor that is finite and not negative, got ", factor);
    decays = changed.decays.value_or(decays);
    trained = changed.trained.value_or(trained);
    learning_rate_factor = factor;
    adapts = changed.adapts.value_or(adapts);
  }
};

}  // namespace attn::nn
