/// What a JSON text must be like before it is read: names that occur once in their object, and few levels.
#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace attn::io::detail {

/// Sees a text go by without keeping it, and stops at the first fault. Time n log n in the names of an object; the
/// parser's own callback looks at all names before whenever a value ends, minutes for a checkpoint of 50,000 tensors.
class JsonShape {
 public:
  JsonShape(std::string_view text, int deepest) : deepest_(deepest) {
    nlohmann::json::sax_parse(text.begin(), text.end(), this);
  }

  bool is_too_deep() const { return too_deep_; }
  /// The first name that an object holds for the second time, or nothing.
  std::string const* repeated() const { return found_ ? &repeated_ : nullptr; }

  // What the parser calls: whether it shall go on. A text that is no JSON is left to whoever reads it.
  bool null() { return true; }
  bool boolean(bool) { return true; }
  bool number_integer(std::int64_t) { return true; }
  bool number_unsigned(std::uint64_t) { return true; }
  bool number_float(double, std::string const&) { return true; }
  bool string(std::string&) { return true; }
  bool binary(nlohmann::json::binary_t&) { return true; }
  bool start_object(std::size_t) { return open(); }
  bool end_object() { return close(); }
  bool start_array(std::size_t) { return open(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    found_ = !names_.back().insert(name).second;
    if (found_) repeated_ = name;
    return !found_;
  }
  bool parse_error(std::size_t, std::string const&, nlohmann::json::exception const&) { return false; }

 private:
  bool open() {
    too_deep_ = int(names_.size()) >= deepest_;
    names_.emplace_back();
    return !too_deep_;
  }
  bool close() {
    names_.pop_back();
    return true;
  }

  int deepest_;
  bool too_deep_ = false, found_ = false;
  std::string repeated_;
  std::vector<std::set<std::string>> names_;  // of what is open; of arrays none
};

}  // namespace attn::io::detail
