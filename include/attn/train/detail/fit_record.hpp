/// What `fit` keeps in a checkpoint beside the numbers.
#pragma once

#include "attn/io/results.hpp"
#include "attn/train/metrics.hpp"
#include "attn/train/record_fields.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace attn::train::detail {

/// What a run knows besides parameters and optimizer.
struct FitRecord {
  std::uint64_t step = 0;
  std::vector<Mean> row, epoch;  // of what steps measured since the last row, and in this epoch
  Metrics last_epoch;            // means of the last epoch that ended
  Metrics evaluation;            // after it
  std::uint64_t rows = 0;
  double seconds = 0;

  io::Json to_json(io::Json const& settings) const {
    return {{"step", step},
            {"row", to_json(row)},
            {"epoch", to_json(epoch)},
            {"last_epoch", last_epoch},
            {"evaluation", evaluation},
            {"rows", rows},
            {"seconds", seconds},
            {"settings", settings}};
  }

  /// From the record of the checkpoint `path`, for a run of `total` steps that measures `measured` numbers in each.
  static FitRecord read(io::Path const& path, io::Json const& json, std::uint64_t total, std::size_t measured) {
    RecordFields const fields(path, json);
    FitRecord record;
    record.step = fields.count("step", total);
    record.row = means(fields, "row", measured, record.step);
    record.epoch = means(fields, "epoch", measured, record.step);
    record.last_epoch = fields.metrics("last_epoch");
    record.evaluation = fields.metrics("evaluation");
    record.rows = fields.count("rows", record.step);
    record.seconds = fields.number("seconds", 0);
    return record;
  }

 private:
  static io::Json to_json(std::vector<Mean> const& means) {
    io::Json all = io::Json::array();
    for (Mean const& mean : means) all.push_back({mean.sum, mean.count});
    return all;
  }
  /// A sum and a count for each number that is measured; no more were counted than steps were done.
  static std::vector<Mean> means(RecordFields const& fields, char const* name, std::size_t measured,
                                 std::uint64_t steps) {
    io::Json const& json = fields.field(name);
    fields.check(json.is_array() && json.size() == measured, name, " is ", RecordFields::text(json), ", not a list of ",
                 measured, " means");
    std::vector<Mean> all;
    for (io::Json const& mean : json) {
      bool const good = mean.is_array() && mean.size() == 2 && mean[0].is_number() && mean[1].is_number_unsigned() &&
                        mean[1].get<std::uint64_t>() <= steps;
      fields.check(good, name, " holds ", RecordFields::text(mean), ", not a sum and a count of at most ", steps,
                   " steps");
      all.push_back({mean[0].get<double>(), mean[1].get<std::uint64_t>()});
    }
    return all;
  }
};

/// Throws unless the settings of the first run are those of now, and names the first that is not. `later`: see
/// `FitOptions::later_settings`.
inline void check_settings(io::Path const& path, io::Json const& record, io::Json const& now,
                           io::Json const& later = io::Json::object()) {
  io::Json first = later;
  if (record.is_object()) first.update(record.value("settings", io::Json::object()));
  for (auto const& [name, value] : first.items()) {
    ATTN_CHECK(now.contains(name), "fit: ", name, " is not set, but it was ", value.dump(), " when '", path.string(),
               "' was written; resume with the settings of the first run");
  }
  for (auto const& [name, value] : now.items()) {
    std::string const before = first.contains(name) ? first[name].dump() : "not set";
    ATTN_CHECK(first.contains(name) && first[name] == value, "fit: ", name, " is ", value.dump(), ", but it was ",
               before, " when '", path.string(), "' was written; resume with the settings of the first run");
  }
}

}  // namespace attn::train::detail
