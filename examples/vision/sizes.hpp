/// Sizes: everything about a model but its activation, whatever its family.
#pragma once

#include "attn/core/concepts.hpp"
#include "attn/io/json.hpp"

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

namespace vision {

using attn::Index;
namespace io = attn::io;

/// Height and width, in text "4x7", or "4" for both.
struct Extent {
  int height = 0, width = 0;

  static constexpr char const* wanted = "a size like 4, or 4x7 for height and width";
  static constexpr char const* kind = "SIZE";
  static std::optional<Extent> parse(std::string const& text);
  static std::optional<Extent> from_json(io::Json const& json);
  std::string text() const;
  io::Json json() const { return {height, width}; }
  bool operator==(Extent const&) const = default;
};

/// A number for each stage of a model, in text "2,2,6,2"; of models without stages one: "12".
struct Stages {
  std::vector<int> numbers = {};

  Stages() = default;
  Stages(int number) : numbers{number} {}
  Stages(std::initializer_list<int> all) : numbers(all) {}

  static constexpr char const* wanted = "a whole number like 12, or one for each stage, like 2,2,6,2";
  static constexpr char const* kind = "NUMBERS";
  static std::optional<Stages> parse(std::string const& text);
  static std::optional<Stages> from_json(io::Json const& json);
  std::string text() const;
  /// One number as a number, more as a list.
  io::Json json() const;

  int first() const { return numbers.empty() ? 0 : numbers.front(); }
  int total() const;
  std::vector<Index> indices() const { return {numbers.begin(), numbers.end()}; }
  bool operator==(Stages const&) const = default;
};

/// What a family has no use for is as here.
struct Sizes {
  std::string family = "vit";
  Extent image = {224, 224};
  int channels = 3;
  int classes = 1000;
  Extent patch = {16, 16};
  int width = 768;
  Stages depth = 12;
  Stages heads = 12;
  double mlp_ratio = 4;
  std::string pool = "token";      ///< ViT: what the head sees: the class token, or the mean of the others
  bool distilled = false;          ///< ViT: a second token and head, which learn from a teacher
  bool no_qkv_bias = false;        ///< ViT: queries, keys and values have none
  int scale_keys = 0;              ///< keys that trained scales start as for; 0: those of the matrix
  bool scale_per_head = false;     ///< trained numbers of the activation: a set for each head
  Stages window = 7;               ///< Swin: side of a window
  double layer_scale = 0;          ///< DeiT-III, XCiT: where the trained factors of branches start; 0: there are none
  int class_depth = 2;             ///< XCiT: layers in which the class token looks at the others
  bool class_softmax = false;      ///< XCiT: these keep softmax, whatever the activation
  std::string class_norm = "all";  ///< XCiT: what these normalise: all tokens, or the class token alone (token)
  bool no_class_position = false;  ///< ViT: the class token has no position, as in DeiT III
  double drop = 0;                 ///< rate of dropout
  double drop_path = 0;            ///< rate of stochastic depth in the last block
  bool bf16 = false;               ///< numbers of two bytes between layers
};

}  // namespace vision
