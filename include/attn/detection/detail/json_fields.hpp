/// Lists of objects in JSON, read one object at a time, and their fields, read with errors that name the place.
#pragma once

#include "attn/core/check.hpp"
#include "attn/io/json.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attn::detection::detail {

using attn::detail::fail;

/// A list of numbers; `name` opens the sentence.
inline std::vector<double> numbers(io::Json const& json, char const* name) {
  bool const good =
      json.is_array() && std::all_of(json.begin(), json.end(), [](auto const& v) { return v.is_number(); });
  ATTN_CHECK(good, name, ": give a list of numbers, got ", json.dump().substr(0, 60));
  std::vector<double> values;
  values.reserve(json.size());
  for (io::Json const& v : json) values.push_back(v.get<double>());
  return values;
}

/// One object of a list of a file. Errors do not name the place, which whoever goes through the list adds.
class Fields {
 public:
  Fields(io::Json const& json, std::string const& file, std::string const& list, std::size_t number)
      : json_(json), file_(file), list_(list), number_(number) {}

  std::string const& list() const { return list_; }
  /// "'A.json', annotations[7] (id 17)"
  std::string where() const {
    std::string text = "'" + file_ + "', " + (list_.empty() ? "results" : list_) + "[" + std::to_string(number_) + "]";
    if (has("id")) text += " (id " + at("id").dump().substr(0, 40) + ")";
    return text;
  }
  bool has(char const* name) const {
    auto const found = json_.find(name);
    return found != json_.end() && !found->is_null();
  }
  io::Json const& at(char const* name) const {
    auto const found = json_.find(name);
    if (found == json_.end()) fail("give it a field '", name, "'");
    return *found;
  }
  double number(char const* name) const {
    io::Json const& json = at(name);
    if (!json.is_number()) fail("give ", name, " a number, got ", json.dump().substr(0, 60));
    return json.get<double>();
  }
  std::int64_t integer(char const* name) const {
    io::Json const& json = at(name);
    if (json.is_number_integer()) return json.get<std::int64_t>();
    double const value = number(name);
    bool const good = value == std::floor(value) && std::abs(value) < 9e15;
    if (!good) fail("give ", name, " a whole number, got ", json.dump());
    return std::int64_t(value);
  }
  /// false where there is no such field; numbers but 0 are true.
  bool flag(char const* name) const {
    if (!has(name)) return false;
    return at(name).is_boolean() ? at(name).get<bool>() : number(name) != 0;
  }
  std::string text_or(char const* name, char const* otherwise) const {
    if (!has(name)) return otherwise;
    if (!at(name).is_string()) fail("give ", name, " a text, got ", at(name).dump().substr(0, 60));
    return at(name).get<std::string>();
  }

 private:
  io::Json const& json_;
  std::string const& file_;
  std::string const& list_;
  std::size_t number_;
};

/// Calls take(Fields) for the objects in the lists of these names that the file, an object, holds; without names, for
/// those of the list that the file is; errors of `take` get the place. An object's memory is free again when `take`
/// returns: a file of half a gigabyte is read without holding it.
template <class Take>
void for_each_object(std::string_view text, std::string const& file, std::vector<std::string> const& lists,
                     Take const& take) {
  int const depth_of_objects = lists.empty() ? 1 : 2;
  std::string list;
  std::size_t number = 0;
  auto const is_wanted = [&] { return lists.empty() || std::find(lists.begin(), lists.end(), list) != lists.end(); };
  using Event = io::Json::parse_event_t;
  auto const see = [&](int depth, Event event, io::Json& json) {
    if (depth == 0 && event == Event::object_start && lists.empty()) fail("'", file, "': give a list of results");
    if (depth == 1 && event == Event::key && !lists.empty()) {
      list = json.get<std::string>();
      number = 0;
    }
    if (depth != depth_of_objects || !is_wanted()) return true;
    if (event == Event::value || event == Event::array_start) {
      fail("'", file, "', ", list.empty() ? "results" : list, ": give objects in this list");
    }
    if (event != Event::object_end) return true;
    Fields const fields(json, file, list, number++);
    try {
      take(fields);
    } catch (Error const& error) {
      fail(fields.where(), ": ", error.what());
    }
    return false;
  };
  io::Json rest;
  try {
    rest = io::Json::parse(text, see);
  } catch (io::Json::exception const& error) {
    std::string const what = error.what();
    fail("'", file, "' is no JSON that can be read, which has no NaN either: ", what.substr(what.find("] ") + 2));
  }
  if (lists.empty()) {
    ATTN_CHECK(rest.is_array(), "'", file, "': give a list of results");
    return;
  }
  for (std::string const& name : lists) {
    ATTN_CHECK(rest.is_object() && rest.contains(name) && rest[name].is_array(), "'", file,
               "': give annotations an object with the lists images, categories and annotations; there is no list ",
               name);
  }
}

}  // namespace attn::detection::detail
