/// How the text of a flag, a value of JSON and a member of a struct become one another, and what is said when they
/// cannot: "use a whole number from 1 to 6, got '7'".
#pragma once

#include "attn/io/detail/nearest.hpp"
#include "attn/io/file.hpp"
#include "attn/io/json.hpp"
#include "attn/io/setting.hpp"

#include <algorithm>
#include <charconv>
#include <concepts>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

namespace attn::io::detail {

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

template <class T>
concept Number = std::is_arithmetic_v<T> && !std::same_as<T, bool>;

// The range as numbers of the type itself, which a double may not hold.
template <Number T>
T lowest_of(NumberRange const& range) {
  return range.low > double(std::numeric_limits<T>::lowest()) ? T(range.low) : std::numeric_limits<T>::lowest();
}
template <Number T>
T highest_of(NumberRange const& range) {
  return range.high < double(std::numeric_limits<T>::max()) ? T(range.high) : std::numeric_limits<T>::max();
}
template <Number T>
bool is_within(NumberRange const& range, T number) {  // false for NaN
  return number >= lowest_of<T>(range) && (range.open ? number < highest_of<T>(range) : number <= highest_of<T>(range));
}

template <class T>
std::string number_text(T number) {
  std::ostringstream text;
  text << number;
  return text.str();
}

/// "1 to 6", "0 to below 1".
template <Number T>
std::string range_text(NumberRange const& range) {
  return number_text(lowest_of<T>(range)) + " to " + (range.open ? "below " : "") + number_text(highest_of<T>(range));
}

inline std::string words_text(std::vector<std::string> const& words) {
  std::string list;
  for (std::string const& word : words) list += (list.empty() ? "" : "|") + word;
  return list;
}

/// What --help shows where the value stands: "INT:in 1 to 6", "TEXT:token|mean".
template <class T>
std::string kind_text(About const& about) {
  if constexpr (IsOptional<T>::value || IsVector<T>::value) {
    return kind_text<typename T::value_type>(about);
  } else if constexpr (std::same_as<T, bool>) {
    return "";
  } else if constexpr (Number<T>) {
    std::string const kind = std::floating_point<T> ? "FLOAT" : std::is_signed_v<T> ? "INT" : "UINT";
    return about.range.is_given() ? kind + ":in " + range_text<T>(about.range) : kind;
  } else if constexpr (TextValue<T>) {
    return std::string("TEXT:") + T::kind;
  } else {
    if (about.file) return "TEXT:FILE";
    return about.words.empty() ? "TEXT" : "TEXT:" + words_text(about.words);
  }
}

/// What is wrong with a number or a word that was given as `text`, or nothing.
template <class T>
std::string complaint_of(T const& value, bool readable, About const& about, std::string const& text) {
  if constexpr (Number<T>) {
    if (readable && is_within(about.range, value)) return "";
    std::string const kind = std::integral<T> ? "use a whole number" : "use a number";
    bool const bounded = std::integral<T> || about.range.is_given();
    return kind + (bounded ? " from " + range_text<T>(about.range) : "") + ", got " + text;
  } else if constexpr (TextValue<T>) {
    return readable ? "" : "use " + std::string(T::wanted) + ", got " + text;
  } else if constexpr (std::same_as<T, bool>) {
    return readable ? "" : "use true or false, got " + text;
  } else if constexpr (std::same_as<T, Path>) {
    if (!readable || value.empty()) return std::string("name a file or folder, got ") + text;
    std::error_code error;
    if (about.file && !std::filesystem::exists(value, error)) return "there is no file " + text;
    if (about.file && !std::filesystem::is_regular_file(value, error)) return "give a regular file, got " + text;
    return "";
  } else {
    bool const known = readable && (about.words.empty() ||
                                    std::find(about.words.begin(), about.words.end(), value) != about.words.end());
    if (known) return "";
    std::string const wanted = about.words.empty() ? "text" : words_text(about.words);
    return "use " + wanted + ", got " + text + (readable ? did_you_mean(value, about.words) : "");
  }
}

/// Reads the text of a flag; returns what is wrong with it, or nothing.
template <class T>
std::string parse_value(std::string const& text, About const& about, T& into) {
  if constexpr (IsOptional<T>::value) {
    typename T::value_type value{};
    std::string const complaint = parse_value(text, about, value);
    if (complaint.empty()) into = value;
    return complaint;
  } else if constexpr (IsVector<T>::value) {
    T all;
    for (std::size_t begin = 0; begin <= text.size();) {
      std::size_t const end = std::min(text.find(',', begin), text.size());
      typename T::value_type value{};
      std::string const complaint = parse_value(text.substr(begin, end - begin), about, value);
      if (!complaint.empty()) return complaint;
      all.push_back(value);
      begin = end + 1;
    }
    into = all;
    return "";
  } else {
    bool readable = true;
    T value{};
    if constexpr (std::same_as<T, bool>) {
      value = text == "true";
      readable = value || text == "false";
    } else if constexpr (Number<T>) {
      auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      readable = error == std::errc() && end == text.data() + text.size();
    } else if constexpr (TextValue<T>) {
      auto const parsed = T::parse(text);
      readable = parsed.has_value();
      if (readable) value = *parsed;
    } else {
      value = text;
    }
    std::string const complaint = complaint_of(value, readable, about, "'" + text + "'");
    if (complaint.empty()) into = value;
    return complaint;
  }
}

/// Reads a value of JSON, which may be anything; returns what is wrong with it, or nothing.
template <class T>
std::string take_value(Json const& json, About const& about, T& into) {
  if constexpr (IsOptional<T>::value) {
    typename T::value_type value{};
    std::string const complaint = take_value(json, about, value);
    if (complaint.empty()) into = value;
    return complaint;
  } else if constexpr (IsVector<T>::value) {
    T all;
    if (!json.is_array()) return "use a list, got " + json.dump();
    for (Json const& entry : json) {
      typename T::value_type value{};
      std::string const complaint = take_value(entry, about, value);
      if (!complaint.empty()) return complaint;
      all.push_back(value);
    }
    into = all;
    return "";
  } else {
    T value{};
    bool readable = false;
    if constexpr (std::same_as<T, bool>) {
      readable = json.is_boolean();
      if (readable) value = json.get<bool>();
    } else if constexpr (std::integral<T>) {
      bool const natural = json.is_number_unsigned();
      auto const magnitude = natural ? json.get<std::uint64_t>() : 0;
      auto const number = json.is_number_integer() && !natural ? json.get<std::int64_t>() : 0;
      readable = json.is_number_integer() && (natural ? std::in_range<T>(magnitude) : std::in_range<T>(number));
      if (readable) value = natural ? T(magnitude) : T(number);
    } else if constexpr (std::floating_point<T>) {
      readable = json.is_number();
      if (readable) value = json.get<T>();
    } else if constexpr (TextValue<T>) {
      auto const found = T::from_json(json);
      readable = found.has_value();
      if (readable) value = *found;
    } else {
      readable = json.is_string();
      if (readable) value = json.get<std::string>();
    }
    std::string const complaint =
        complaint_of(value, readable, about, json.dump(-1, ' ', false, Json::error_handler_t::replace));
    if (complaint.empty()) into = value;
    return complaint;
  }
}

template <class T>
Json json_of(T const& value) {
  if constexpr (IsOptional<T>::value) {
    return value ? json_of(*value) : Json(nullptr);
  } else if constexpr (IsVector<T>::value) {
    Json all = Json::array();
    for (auto const& entry : value) all.push_back(json_of(entry));
    return all;
  } else if constexpr (TextValue<T>) {
    return value.json();
  } else if constexpr (std::same_as<T, Path>) {
    return value.string();
  } else {
    return value;
  }
}

/// What --help shows as the default: empty for none.
template <class T>
std::string text_of(T const& value) {
  if constexpr (IsOptional<T>::value) {
    return value ? text_of(*value) : "";
  } else if constexpr (IsVector<T>::value) {
    std::string all;
    for (auto const& entry : value) all.append(all.empty() ? "[" : ",").append(text_of(entry));
    return all.empty() ? all : all.append("]");
  } else if constexpr (std::same_as<T, bool>) {
    return "";
  } else if constexpr (TextValue<T>) {
    return value.text();
  } else if constexpr (std::same_as<T, Path>) {
    return value.string();
  } else {
    return number_text(value);
  }
}

/// A member of a struct whose type was forgotten.
class Value {
 public:
  virtual ~Value() = default;
  virtual std::string parse(std::string const& text, About const& about) = 0;
  virtual std::string take(Json const& json, About const& about) = 0;
  virtual Json json() const = 0;
  virtual std::string text() const = 0;
};

template <class T>
class ValueOf final : public Value {
 public:
  explicit ValueOf(T& value) : value_(value) {}
  std::string parse(std::string const& text, About const& about) override { return parse_value(text, about, value_); }
  std::string take(Json const& json, About const& about) override { return take_value(json, about, value_); }
  Json json() const override { return json_of(value_); }
  std::string text() const override { return text_of(value_); }

 private:
  T& value_;
};

}  // namespace attn::io::detail
