/// About: what is to be known of a setting besides its name and the member that holds it.
#pragma once

#include "attn/io/json.hpp"

#include <concepts>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace attn::io {

/// The numbers from `low` to `high`, which is one of them unless the range is open.
struct NumberRange {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool open = false;

  bool is_given() const { return *this != NumberRange(); }
  bool operator==(NumberRange const&) const = default;
};

/// What is known of a setting besides its name and its value.
struct About {
  std::string help;
  NumberRange range = {};               ///< of a number
  std::vector<std::string> words = {};  ///< that a text may be; none: any
  bool file = false;                    ///< a path must be that of a regular file
  bool off = false;                     ///< the flag makes its member, a bool, false
  bool required = false;                ///< there is no default
  std::string needs = "";               ///< another setting without which this one makes no sense
  /// The field in results.json and in checkpoints; empty: the name, with _ for -.
  std::string field = "";
  /// Whether what a run computes depends on it: then results.json says it, and a run is resumed with the same value.
  bool decides = true;
  /// Whether it belongs to the model: then weights describe themselves with it, and whoever loads them adopts it.
  bool model = false;
};

/// A type of setting with a notation of its own: a size like "4x7".
///
///  1. `T::parse(text)` and `T::from_json(json)` are a `std::optional<T>`, without a value for what is wrong.
///  2. `value.text()` and `value.json()` are what those read.
///  3. `T::wanted` completes "use ..., got 'x'"; `T::kind` is the word in --help.
template <class T>
concept TextValue = requires(T const& value, std::string const& text, Json const& json) {
  { T::parse(text) } -> std::same_as<std::optional<T>>;
  { T::from_json(json) } -> std::same_as<std::optional<T>>;
  { value.text() } -> std::convertible_to<std::string>;
  { value.json() } -> std::convertible_to<Json>;
  { T::wanted } -> std::convertible_to<char const*>;
  { T::kind } -> std::convertible_to<char const*>;
};

}  // namespace attn::io
