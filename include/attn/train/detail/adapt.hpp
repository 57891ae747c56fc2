/// How a tensor of another shape is made to fit a parameter that said it can be (nn/attributes.hpp).
#pragma once

#include "attn/io/safetensors.hpp"
#include "attn/nn/registry.hpp"
#include "attn/train/detail/resample.hpp"

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace attn::train::detail {

/// Height and width of a grid.
using Grid = std::pair<Index, Index>;

/// Of `tokens` positions: the grid, if it was said or is a square behind 0 to 2 class tokens, rather as many as
/// `prefix`.
inline std::optional<Grid> grid_of(Index tokens, Index prefix, std::optional<Grid> said) {
  if (said) {
    bool const fits =
        said->first > 0 && said->second > 0 && said->first <= tokens && said->second <= tokens / said->first;
    return fits ? said : std::nullopt;
  }
  for (Index const in_front : {prefix, Index(1), Index(0), Index(2)}) {
    Index side = 0;
    while ((side + 1) * (side + 1) <= tokens - in_front) ++side;
    if (side > 0 && side * side == tokens - in_front) return Grid(side, side);
  }
  return std::nullopt;
}

inline std::string text_of(Index height, Index width) { return std::to_string(height) + " x " + std::to_string(width); }

/// Makes one parameter fit; returns a sentence that says how, or nothing where it cannot.
template <class T>
class Adapt {
 public:
  io::Safetensors const& file;
  nn::ParameterEntry const& entry;
  std::optional<Grid> said;  // the grid of the file's positions
  T* to;

  std::optional<std::string> operator()(std::monostate) const { return std::nullopt; }

  /// The parameter stays as it was drawn.
  std::optional<std::string> operator()(nn::ClassRows) const {
    io::Shape const& shape = file.entry(entry.name).shape;
    bool const same_features = shape.size() == entry.shape.size() && !shape.empty() &&
                               std::equal(shape.begin() + 1, shape.end(), entry.shape.begin() + 1, entry.shape.end());
    if (!same_features) return std::nullopt;
    return entry.name + " was drawn anew, for " + std::to_string(entry.shape[0]) + " classes instead of the file's " +
           std::to_string(shape[0]);
  }

  /// Tables are taken for those of square windows, as timm does.
  std::optional<std::string> operator()(nn::RelativePositions const& window) const {
    io::Shape const& shape = file.entry(entry.name).shape;
    Index const heads = entry.shape.back();
    if (shape.size() != 2 || Index(shape[1]) != heads) return std::nullopt;
    Index side = 1;
    while ((side + 2) * (side + 2) <= Index(shape[0])) side += 2;
    if (side * side != Index(shape[0])) return std::nullopt;
    auto const fitting = resample_relative(file.get<double>(entry.name, shape), side, side, heads,
                                           2 * window.height - 1, 2 * window.width - 1);
    std::copy(fitting.begin(), fitting.end(), to);
    return entry.name + " was interpolated from a window of " + text_of(side / 2 + 1, side / 2 + 1) + " to one of " +
           text_of(window.height, window.width);
  }

  /// Positions in front of the grid are taken over one by one; the first has none where the file has none.
  std::optional<std::string> operator()(nn::PositionGrid const& grid) const {
    io::Shape const& shape = file.entry(entry.name).shape;
    Index const channels = entry.shape.back();
    if (shape.size() != 3 || shape[0] != 1 || Index(shape[2]) != channels) return std::nullopt;
    auto const old = grid_of(Index(shape[1]), grid.prefix, said);
    if (!old || old->first * old->second == 0) return std::nullopt;
    Index const in_front = Index(shape[1]) - old->first * old->second;
    std::vector<double> const from = file.get<double>(entry.name, shape);
    for (Index i = 0; i < grid.prefix * channels; ++i) to[i] = i < in_front * channels ? T(from[std::size_t(i)]) : T(0);
    std::vector<double> const patches(from.begin() + in_front * channels, from.end());
    auto const fitting = resample(patches, old->first, old->second, channels, grid.height, grid.width);
    for (std::size_t i = 0; i < fitting.size(); ++i) to[std::size_t(grid.prefix * channels) + i] = T(fitting[i]);
    std::string sentence = entry.name + " was interpolated from " + text_of(old->first, old->second) +
                           " positions to " + text_of(grid.height, grid.width);
    if (in_front != grid.prefix) {
      sentence += ", behind " + std::to_string(grid.prefix) + " class tokens instead of " + std::to_string(in_front);
    }
    return sentence;
  }
};

}  // namespace attn::train::detail
