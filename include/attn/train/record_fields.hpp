/// RecordFields: the fields of a checkpoint's record, each of the type and in the range that the run needs.
#pragma once

#include "attn/io/results.hpp"
#include "attn/train/metrics.hpp"

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace attn::train {

/// A record is input: what is missing, of another type or out of range is an error of one sentence. The record must
/// outlive this.
class RecordFields {
 public:
  RecordFields(io::Path path, io::Json const& record) : path_(std::move(path)), record_(record) {
    check(record.is_object(), "its record is no object");
  }

  /// A whole number from 0 to `most`.
  std::uint64_t count(char const* name, std::uint64_t most) const {
    io::Json const& value = field(name);
    check(value.is_number_unsigned() && value.get<std::uint64_t>() <= most, name, " is ", text(value),
          ", not a whole number from 0 to ", most);
    return value.get<std::uint64_t>();
  }

  /// A number that is finite, and not below `least`.
  double number(char const* name, double least) const {
    io::Json const& value = field(name);
    check(is_finite(value) && value.get<double>() >= least, name, " is ", text(value), ", not a number from ", least);
    return value.get<double>();
  }

  /// Pairs of a name and a number, which may be null where it was not finite.
  Metrics metrics(char const* name) const {
    io::Json const& value = field(name);
    check(value.is_array(), name, " is ", text(value), ", not a list of metrics");
    Metrics all;
    for (io::Json const& metric : value) {
      bool const good = metric.is_array() && metric.size() == 2 && metric[0].is_string() &&
                        (metric[1].is_number() || metric[1].is_null());
      check(good, name, " holds ", text(metric), ", not a name and a number");
      all.emplace_back(metric[0].get<std::string>(), metric[1].is_null() ? NAN : metric[1].get<double>());
    }
    return all;
  }

  /// `n` numbers that are finite.
  std::vector<double> numbers(char const* name, std::size_t n) const {
    io::Json const& value = field(name);
    check(value.is_array() && value.size() == n, name, " is ", text(value), ", not a list of ", n, " numbers");
    std::vector<double> all;
    for (io::Json const& number : value) {
      check(is_finite(number), name, " holds ", text(number), ", not a number");
      all.push_back(number.get<double>());
    }
    return all;
  }

  io::Json const& field(char const* name) const {
    check(record_.contains(name), "it has no ", name);
    return record_[name];
  }

  template <class... Parts>
  void check(bool good, Parts const&... parts) const {
    ATTN_CHECK(good, "--resume: '", path_.string(), "' is no checkpoint of this run: ", parts...);
  }

  /// A value as an error shows it, cut where it is long.
  static std::string text(io::Json const& value) {
    std::string all = value.dump(-1, ' ', false, io::Json::error_handler_t::replace);
    if (all.size() > 60) all = all.substr(0, 57) + "...";
    return all;
  }

 private:
  static bool is_finite(io::Json const& value) { return value.is_number() && std::isfinite(value.get<double>()); }

  io::Path path_;
  io::Json const& record_;
};

}  // namespace attn::train
