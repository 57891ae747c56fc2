/// Weights on disk: the parameters and buffers of a model under their names, in a .safetensors file.
#pragma once

#include "attn/core/host_copy.hpp"
#include "attn/train/detail/adapt.hpp"
#include "attn/train/detail/tensors.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace attn::train {

/// Writes the values of all parameters and buffers, and a checksum, atomically. Throws `io::FailedRun` and writes
/// nothing if one is not finite.
template <class Ctx>
void save_weights(io::Path const& path, Ctx& ctx, io::Metadata metadata = {}) {
  detail::TensorFile<typename Ctx::Real> file(std::move(metadata));
  file.add(ctx.parameters.entries(), "", ctx.parameters.values());
  file.add(ctx.parameters.buffer_entries(), "", ctx.parameters.buffers());
  file.write(path);
}

/// How strictly a file and a model must agree.
struct LoadOptions {
  /// Whether a name that only one of them has is an error; otherwise what the file lacks stays as it was.
  bool strict = true;
  /// Whether parameters that said how (`ParameterAttributes::adapts`) may be made from tensors of another shape.
  bool adapt = false;
  /// Height and width of the grid of the file's positions; otherwise they are taken for a square.
  std::optional<std::pair<Index, Index>> position_grid = {};
  /// Patterns of tensors that files of other programs hold and no model here needs: counters and tables of indices.
  std::vector<std::string> ignored = {"*num_batches_tracked", "*relative_position_index", "*relative_coords_table",
                                      "*attn_mask", "*position_ids"};
};

/// Reads the values of all parameters and buffers; halves, doubles and counters of batch norms are converted. (timm and
/// PyTorch read our files too, and convert the counters back.) Returns what was adapted and ignored. Where the file and
/// the model do not fit, throws a sentence with everything that is missing, unexpected or misshapen, and has changed
/// nothing; so too where the file has a checksum and was damaged, or holds numbers that are not finite.
template <class Ctx>
LoadReport load_weights(io::Path const& path, Ctx& ctx, LoadOptions const& options = {}) {
  using T = typename Ctx::Real;
  io::Safetensors const file(path);
  detail::check_undamaged(file, path, "load_weights");
  ATTN_CHECK(!file.metadata().contains(detail::checkpoint_key), "load_weights: '", path.string(),
             "' is the checkpoint of a run; resume that run, or give the weights that it leaves at its end");
  auto& model = ctx.parameters;
  LoadReport report;
  auto values = host_copy(model.values());
  auto buffers = host_copy(model.buffers());
  for (nn::ParameterEntry const& entry : model.entries()) {
    T* const to = values.data() + entry.offset;
    bool const other_shape = file.contains(entry.name) && file.entry(entry.name).shape != detail::shape_of(entry);
    auto const* const grid = std::get_if<nn::PositionGrid>(&entry.adapts);
    bool const other_grid =
        grid != nullptr && options.position_grid && *options.position_grid != std::pair(grid->height, grid->width);
    if (options.adapt && file.contains(entry.name) && (other_shape || other_grid)) {
      auto const sentence = std::visit(detail::Adapt<T>{file, entry, options.position_grid, to}, entry.adapts);
      if (sentence) {
        report.adapted.push_back(*sentence);
        continue;
      }
    }
    detail::read_tensor(file, entry.name, entry, to, report);
  }
  for (nn::BufferEntry const& entry : model.buffer_entries()) {
    // Counters of steps are whole numbers in files of PyTorch, and not in all of them.
    bool const counter = nn::matches("*num_batches_tracked", entry.name);
    if (counter && !file.contains(entry.name)) continue;
    if (counter && file.entry(entry.name).dtype == io::DType::i64) {
      buffers[static_cast<std::size_t>(entry.offset)] = static_cast<T>(file.get<std::int64_t>(entry.name, {}).at(0));
      continue;
    }
    detail::read_tensor(file, entry.name, entry, buffers.data() + entry.offset, report);
  }
  for (auto const& [name, _] : file.tensors()) {
    if (model.contains(name) || model.contains_buffer(name)) continue;
    bool const ignored = std::any_of(options.ignored.begin(), options.ignored.end(),
                                     [&, &tensor = name](auto const& pattern) { return nn::matches(pattern, tensor); });
    (ignored ? report.ignored : report.unexpected).push_back(name);
  }
  bool const good = options.strict ? report.fits() : report.misshapen.empty();
  ATTN_CHECK(good, "load_weights: '", path.string(), "' does not fit this model: ", report.faults(),
             "; choose the model that the weights belong to");
  detail::check_finite(model.entries(), values, path);
  detail::check_finite(model.buffer_entries(), buffers, path);
  copy_from_host(values, model.values());
  copy_from_host(buffers, model.buffers());
  return report;
}

}  // namespace attn::train
