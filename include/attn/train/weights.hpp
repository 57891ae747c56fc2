/// Weights on disk: the parameters and buffers of a model under their names, in a .safetensors file.
#pragma once

#include "attn/train/detail/tensors.hpp"

#include <string>
#include <utility>
#include <vector>

namespace attn::train {

/// Writes the values of all parameters and buffers, atomically. Throws `io::FailedRun` and writes nothing if one is not
/// finite.
template <class Ctx>
void save_weights(io::Path const& path, Ctx& ctx, io::Metadata metadata = {}) {
  io::SafetensorsWriter file;
  file.metadata = std::move(metadata);
  auto const values = detail::host_copy(ctx.parameters.values());
  auto const buffers = detail::host_copy(ctx.parameters.buffers());
  detail::add_tensors(file, ctx.parameters.entries(), "", values);
  detail::add_tensors(file, ctx.parameters.buffer_entries(), "", buffers);
  file.write(path);
}

/// Reads the values of all parameters; halves and doubles are converted. A parameter that the file lacks or holds in
/// another shape, and a tensor that the model has no use for, are errors, after which nothing has changed.
template <class Ctx>
void load_weights(io::Path const& path, Ctx& ctx) {
  io::Safetensors const file(path);
  using T = typename Ctx::Real;
  auto& model = ctx.parameters;
  auto const values = detail::read_tensors<T>(file, model.entries(), model.extent(), "");
  auto const buffers = detail::read_tensors<T>(file, model.buffer_entries(), model.buffer_extent(), "");
  for (auto const& [name, _] : file.tensors()) {
    ATTN_CHECK(model.contains(name) || model.contains_buffer(name), "load_weights: '", path.string(), "' holds '", name,
               "', which is no parameter of this model; choose the model that the weights belong to");
  }
  detail::copy_from_host(values, model.values());
  detail::copy_from_host(buffers, model.buffers());
}

}  // namespace attn::train
