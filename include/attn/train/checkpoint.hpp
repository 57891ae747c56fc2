/// Checkpoints: all that a training run needs to continue to the same bits, in one .safetensors file.
///
/// The file holds "model/<name>" for each parameter and buffer, "<part>/<array>/<name>" for each array of each part
/// (optimizer, average of weights), and, as metadata, a JSON object with the parts' counters and the caller's own
/// record.
#pragma once

#include "attn/core/host_copy.hpp"
#include "attn/io/results.hpp"
#include "attn/optim/optimizer.hpp"
#include "attn/train/weights.hpp"

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace attn::train {

/// A part of a run besides the parameters, under a name of its own.
template <class Ctx>
struct CheckpointPart {
  std::string name;  // "optimizer"
  optim::State<typename Ctx::Real, typename Ctx::MemorySpace> state;
};
/// What a checkpoint holds, part by part.
template <class Ctx>
using CheckpointParts = std::vector<CheckpointPart<Ctx>>;

namespace detail {

inline std::string array_prefix(std::string const& part, std::string const& array) { return part + "/" + array + "/"; }

/// Calls f(prefix, values, of_buffers) for each flat array that a checkpoint holds.
template <class Ctx, class Function>
void for_each_array(Ctx& ctx, std::vector<CheckpointPart<Ctx>> const& parts, Function const& f) {
  f("model/", ctx.parameters.values(), false);
  f("model/", ctx.parameters.buffers(), true);
  for (auto const& part : parts) {
    for (auto const& array : part.state.arrays) f(array_prefix(part.name, array.name), array.values, array.of_buffers);
  }
}

inline io::Json checkpoint_record(io::Safetensors const& file, io::Path const& path) {
  check_undamaged(file, path, "load_checkpoint");
  auto const text = file.metadata().find(checkpoint_key);
  ATTN_CHECK(text != file.metadata().end(), "load_checkpoint: '", path.string(),
             "' holds no checkpoint; weights alone are given with --weights");
  io::Json record = io::Json::parse(text->second, nullptr, false);
  bool const good =
      record.is_object() && record.contains("record") && record.contains("steps") && record["steps"].is_object();
  ATTN_CHECK(good, "load_checkpoint: '", path.string(), "' is not a checkpoint of this program");
  return record;
}

}  // namespace detail

/// Writes a checkpoint with a checksum, atomically: the file of before stays until the new one is on the disk. Throws
/// `io::FailedRun` and writes nothing if a number is not finite. `metadata`: a description of the model, say.
template <class Ctx>
void save_checkpoint(io::Path const& path, Ctx& ctx, CheckpointParts<Ctx> const& parts, io::Json const& record,
                     io::Metadata metadata = {}) {
  detail::TensorFile<typename Ctx::Real> file(std::move(metadata));
  io::Json steps = io::Json::object();
  detail::for_each_array(ctx, parts, [&](std::string const& prefix, auto const& values, bool of_buffers) {
    if (of_buffers) file.add(ctx.parameters.buffer_entries(), prefix, values);
    if (!of_buffers) file.add(ctx.parameters.entries(), prefix, values);
  });
  for (auto const& part : parts) steps[part.name] = part.state.steps.get();
  io::Json const all = {{"steps", steps}, {"record", record}};
  file.metadata()[detail::checkpoint_key] = all.dump(-1, ' ', false, io::Json::error_handler_t::replace);
  file.write(path);
}

/// The record of a checkpoint, without its numbers; a file that was damaged is an error here already.
inline io::Json read_checkpoint_record(io::Path const& path) {
  return detail::checkpoint_record(io::Safetensors(path), path).at("record");
}

/// Restores what `save_checkpoint` saved into the same model and parts, and returns the record. Where names or shapes
/// do not fit, or the file was damaged, throws and has changed nothing.
template <class Ctx>
io::Json load_checkpoint(io::Path const& path, Ctx& ctx, CheckpointParts<Ctx> const& parts) {
  using T = typename Ctx::Real;
  io::Safetensors const file(path);
  io::Json const all = detail::checkpoint_record(file, path);
  std::vector<std::pair<Tensor<T, 1, typename Ctx::MemorySpace>, std::vector<T>>> restored;
  LoadReport report;
  std::set<std::string> known;
  auto& model = ctx.parameters;
  detail::for_each_array(ctx, parts, [&](std::string const& prefix, auto const& into, bool of_buffers) {
    restored.emplace_back(
        into, of_buffers
                  ? detail::read_array<T>(file, model.buffer_entries(), model.buffer_extent(), prefix, report, known)
                  : detail::read_array<T>(file, model.entries(), model.extent(), prefix, report, known));
  });
  for (auto const& [name, _] : file.tensors()) {
    if (!known.contains(name)) report.unexpected.push_back(name);
  }
  ATTN_CHECK(report.fits(), "load_checkpoint: '", path.string(), "' does not fit this run: ", report.faults(),
             "; continue with the settings of the first run");
  for (auto const& part : parts) {
    ATTN_CHECK(all["steps"].contains(part.name) && all["steps"][part.name].is_number_unsigned(), "load_checkpoint: '",
               path.string(), "' holds no ", part.name, "; continue with the settings of the first run");
  }
  for (auto const& [into, values] : restored) copy_from_host(values, into);
  for (auto const& part : parts) part.state.steps.set(all["steps"][part.name].template get<std::uint64_t>());
  return all.at("record");
}

}  // namespace attn::train
