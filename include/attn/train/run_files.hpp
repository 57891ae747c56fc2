/// RunFiles: what a run keeps in its directory while it goes on: metrics.csv, checkpoint.safetensors and, at the end,
/// weights.safetensors.
#pragma once

#include "attn/train/checkpoint.hpp"
#include "attn/train/detail/fit_record.hpp"
#include "attn/train/metrics.hpp"
#include "attn/train/weights.hpp"

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace attn::train {

///@{
/// Where a run whose results go to `out` keeps its files.
inline io::Path checkpoint_path(io::Path const& out) { return out / "checkpoint.safetensors"; }
inline io::Path metrics_path(io::Path const& out) { return out / "metrics.csv"; }
inline io::Path weights_path(io::Path const& out) { return out / "weights.safetensors"; }
inline io::Path average_path(io::Path const& out) { return out / "average.safetensors"; }
inline io::Path best_path(io::Path const& out) { return out / "best.safetensors"; }
///@}

/// A run that is resumed: `read_record`, restore what the record tells of, `load`, `continue_log`. Another:
/// `begin_log`. Then rows of metrics and checkpoints as they come.
class RunFiles {
 public:
  /// `settings` are what the result depends on, `later` what those of them were that older records lack. Without a
  /// directory nothing is kept, and without `writes` nothing is written: of several ranks one writes, and all may read.
  RunFiles(io::Path out, io::Json settings, bool writes = true, io::Json later = io::Json::object())
      : out_(std::move(out)), settings_(std::move(settings)), later_(std::move(later)), writes_(writes && keep()) {
    std::error_code ignored;  // whoever writes first says what is wrong
    if (writes_) std::filesystem::create_directories(out_, ignored);
  }

  bool keep() const { return !out_.empty(); }
  bool writes() const { return writes_; }
  io::Path const& directory() const { return out_; }
  io::Path checkpoint() const { return checkpoint_path(out_); }
  /// Whether there is a checkpoint of this run.
  bool has_checkpoint() const { return keep() && std::filesystem::exists(checkpoint()); }

  /// The record that `save` was given. Throws where there is none, or one of a run with other settings.
  io::Json read_record() const {
    ATTN_CHECK(keep(), "fit: name the directory of the run that is to be resumed");
    ATTN_CHECK(has_checkpoint(), "fit: there is no '", checkpoint().string(), "' to resume from");
    io::Json record = read_checkpoint_record(checkpoint());
    detail::check_settings(checkpoint(), record, settings_, later_);
    return record;
  }

  /// Restores parameters and parts.
  template <class Ctx>
  void load(Ctx& ctx, CheckpointParts<Ctx> const& parts) const {
    load_checkpoint(checkpoint(), ctx, parts);
  }

  /// The checkpoint of another run must not pass for one of this run, and may still be wanted.
  void begin_log(std::vector<std::string> columns) {
    if (!writes()) return;
    std::error_code ignored;
    std::filesystem::rename(checkpoint(), out_ / "checkpoint.previous.safetensors", ignored);
    log_.emplace(metrics_path(out_), std::move(columns));
  }
  void continue_log(std::vector<std::string> columns, std::size_t rows) {
    if (writes()) log_.emplace(MetricsLog::resume(metrics_path(out_), std::move(columns), rows));
  }

  void log(Metrics const& row) {
    if (log_) log_->append(row);
  }
  std::size_t rows() const { return log_ ? log_->rows() : 0; }

  /// Writes a checkpoint, with the settings beside what the run wants to know of itself.
  template <class Ctx>
  void save(Ctx& ctx, CheckpointParts<Ctx> const& parts, io::Json record, io::Metadata const& metadata = {}) const {
    if (!writes()) return;
    record["rows"] = rows();
    record["settings"] = settings_;
    save_checkpoint(checkpoint(), ctx, parts, record, metadata);
  }

 private:
  io::Path out_;
  io::Json settings_, later_;
  bool writes_;
  std::optional<MetricsLog> log_;
};

}  // namespace attn::train
