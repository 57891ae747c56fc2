#include "vision/sizes.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <numeric>
#include <string_view>

namespace vision {
namespace {

constexpr int highest = 1 << 24;  // of what is counted or measured here
constexpr std::size_t most_stages = 8;

/// A whole number, or -1 for what is none.
int whole(std::string_view text) {
  int value = -1;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value <= highest ? value : -1;
}
int whole(io::Json const& json) {
  if (!json.is_number_integer()) return -1;
  auto const value = json.get<std::int64_t>();
  return value >= 0 && value <= highest ? static_cast<int>(value) : -1;
}

std::optional<Stages> checked(Stages stages) {
  bool const good = !stages.numbers.empty() && stages.numbers.size() <= most_stages &&
                    std::all_of(stages.numbers.begin(), stages.numbers.end(), [](int number) { return number >= 0; });
  return good ? std::optional(stages) : std::nullopt;
}

}  // namespace

std::optional<Extent> Extent::parse(std::string const& text) {
  std::size_t const cross = text.find('x');
  int const height = whole(std::string_view(text).substr(0, cross));
  int const width = cross == std::string::npos ? height : whole(std::string_view(text).substr(cross + 1));
  if (height < 1 || width < 1) return std::nullopt;
  return Extent{height, width};
}

std::optional<Extent> Extent::from_json(io::Json const& json) {
  if (!json.is_array() || json.size() != 2) return std::nullopt;
  int const height = whole(json[0]), width = whole(json[1]);
  if (height < 1 || width < 1) return std::nullopt;
  return Extent{height, width};
}

std::string Extent::text() const {
  return height == width ? std::to_string(height) : std::to_string(height) + "x" + std::to_string(width);
}

std::optional<Stages> Stages::parse(std::string const& text) {
  Stages stages;
  for (std::size_t begin = 0; begin <= text.size();) {
    std::size_t const end = std::min(text.find(',', begin), text.size());
    stages.numbers.push_back(whole(std::string_view(text).substr(begin, end - begin)));
    begin = end + 1;
  }
  return checked(stages);
}

std::optional<Stages> Stages::from_json(io::Json const& json) {
  Stages stages;
  if (json.is_array()) {
    for (io::Json const& number : json) stages.numbers.push_back(whole(number));
  } else {
    stages.numbers.push_back(whole(json));
  }
  return checked(stages);
}

std::string Stages::text() const {
  std::string text;
  for (int const number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

io::Json Stages::json() const { return numbers.size() == 1 ? io::Json(numbers.front()) : io::Json(numbers); }

int Stages::total() const { return std::accumulate(numbers.begin(), numbers.end(), 0); }

}  // namespace vision
