/// Flat arrays of a model in .safetensors files: a tensor for each entry.
#pragma once

#include "attn/core/host_copy.hpp"
#include "attn/io/failed_run.hpp"
#include "attn/io/safetensors.hpp"
#include "attn/nn/parameters.hpp"
#include "attn/train/detail/checksum.hpp"
#include "attn/train/load_report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace attn::train::detail {

/// The metadata that tells a checkpoint from weights.
inline constexpr char const* checkpoint_key = "attn.checkpoint";

inline io::Shape shape_of(nn::FlatEntry const& entry) { return {entry.shape.begin(), entry.shape.end()}; }

/// The first number of an entry that is not finite, if there is one.
template <class T>
std::optional<T> first_not_finite(nn::FlatEntry const& entry, std::vector<T> const& flat) {
  std::span<T const> const values(flat.data() + entry.offset, static_cast<std::size_t>(entry.size));
  auto const found = std::ranges::find_if(values, [](T value) { return !std::isfinite(value); });
  return found == values.end() ? std::nullopt : std::optional<T>(*found);
}

/// Names the first tensor of a file that holds a number which is not finite.
template <class Entry, class T>
void check_finite(std::vector<Entry> const& entries, std::vector<T> const& flat, io::Path const& path) {
  for (nn::FlatEntry const& entry : entries) {
    std::optional<T> const bad = first_not_finite(entry, flat);
    ATTN_CHECK(!bad, "load_weights: '", path.string(), "': ", entry.name, " holds ", *bad,
               "; nothing can be computed from it");
  }
}

/// A file that is being made: flat arrays, metadata, and a checksum of both.
template <class T>
class TensorFile {
 public:
  explicit TensorFile(io::Metadata metadata = {}) { writer_.metadata = std::move(metadata); }

  io::Metadata& metadata() { return writer_.metadata; }

  /// Adds the parts of a flat array, each under `prefix` and the name of its entry. Numbers that are not finite are the
  /// end of a run, not something to keep.
  template <class Entry, class Memory>
  void add(std::vector<Entry> const& entries, std::string const& prefix, Tensor<T, 1, Memory> const& array) {
    if (entries.empty()) return;
    std::vector<T> const& flat = arrays_.emplace_back(host_copy(array));
    for (nn::FlatEntry const& entry : entries) {
      std::string const name = prefix + entry.name;
      if (std::optional<T> const bad = first_not_finite(entry, flat)) {
        throw io::FailedRun("nothing was written: " + name + " holds " + std::to_string(*bad) +
                            "; lower the learning rate or clip the gradients");
      }
      T const* const values = flat.data() + entry.offset;
      writer_.add(name, shape_of(entry), values);
      checksum_.add(name, io::dtype_of<T>(), shape_of(entry),
                    std::as_bytes(std::span(values, static_cast<std::size_t>(entry.size))));
    }
  }

  /// Writes the file, atomically.
  void write(io::Path const& path) {
    checksum_.add(writer_.metadata);
    writer_.metadata[checksum_key] = checksum_.text();
    writer_.write(path);
  }

 private:
  io::SafetensorsWriter writer_;
  Checksum checksum_;
  std::deque<std::vector<T>> arrays_;  // which stay where they are until all is written
};

/// Reads the tensor `name` into `to` if the file has it in the shape of `entry`; otherwise notes what is wrong.
template <class T>
void read_tensor(io::Safetensors const& file, std::string const& name, nn::FlatEntry const& entry, T* to,
                 LoadReport& report) {
  if (!file.contains(name)) return report.missing.push_back(name);
  io::TensorEntry const& found = file.entry(name);
  if (found.dtype == io::DType::i64 && entry.shape.empty() && found.shape.empty()) {
    std::int64_t count = 0;  // files of other programs count the batches of norms in whole numbers
    file.read(name, found.shape, &count);
    *to = static_cast<T>(count);
    return;
  }
  if (!io::is_floating(found.dtype))
    return report.misshapen.push_back(name + " is of type " + io::name_of(found.dtype));
  if (found.shape != shape_of(entry)) {
    report.misshapen.push_back(name + " is " + io::to_string(found.shape) + ", not " + io::to_string(shape_of(entry)));
    return;
  }
  file.read(name, found.shape, to);
}

/// The entries as a flat array of `extent` numbers, from what `TensorFile::add` added. Counts the tensors in `known`.
template <class T, class Entry>
std::vector<T> read_array(io::Safetensors const& file, std::vector<Entry> const& entries, Index extent,
                          std::string const& prefix, LoadReport& report, std::set<std::string>& known) {
  std::vector<T> flat(static_cast<std::size_t>(extent), T(0));
  for (nn::FlatEntry const& entry : entries) {
    known.insert(prefix + entry.name);
    read_tensor(file, prefix + entry.name, entry, flat.data() + entry.offset, report);
  }
  return flat;
}

}  // namespace attn::train::detail
