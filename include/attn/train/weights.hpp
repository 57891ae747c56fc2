/// Weights on disk: the parameters of a model under their names, in a .safetensors file.
#pragma once

#include "attn/io/failed_run.hpp"
#include "attn/io/safetensors.hpp"
#include "attn/nn/parameters.hpp"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace attn::train {

namespace detail {

inline io::Shape shape_of(nn::ParameterEntry const& entry) { return {entry.shape.begin(), entry.shape.end()}; }

/// A flat buffer on the host. Waits for all work.
template <class T, class Memory>
std::vector<T> host_copy(Tensor<T, 1, Memory> const& from) {
  using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
  std::vector<T> to(static_cast<std::size_t>(from.size()));
  Kokkos::fence("attn::train::host_copy");
  Kokkos::deep_copy(Kokkos::View<T*, Kokkos::HostSpace, Unmanaged>(to.data(), to.size()),
                    Kokkos::View<T const*, Memory, Unmanaged>(from.data(), to.size()));
  return to;
}
template <class T, class Memory>
void copy_from_host(std::vector<T> const& from, Tensor<T, 1, Memory> const& to) {
  using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
  Kokkos::fence("attn::train::copy_from_host");
  Kokkos::deep_copy(Kokkos::View<T*, Memory, Unmanaged>(to.data(), from.size()),
                    Kokkos::View<T const*, Kokkos::HostSpace, Unmanaged>(from.data(), from.size()));
}

/// Adds the parts of a flat buffer, each under `prefix` and its parameter's name. Numbers that are not finite are the
/// end of a run, not something to keep. `flat` must live until the file is written.
template <class T>
void add_buffer(io::SafetensorsWriter& file, nn::ParameterRegistry const& registry, std::string const& prefix,
                std::vector<T> const& flat) {
  for (auto const& entry : registry.entries()) {
    T const* const values = flat.data() + entry.offset;
    for (Index i = 0; i < entry.size; ++i) {
      if (std::isfinite(values[i])) continue;
      throw io::FailedRun("nothing was written: " + prefix + entry.name + " holds " + std::to_string(values[i]) +
                          "; lower the learning rate or clip the gradients");
    }
    file.add(prefix + entry.name, shape_of(entry), values);
  }
}

/// Reads what `add_buffer` added.
template <class T>
std::vector<T> read_buffer(io::Safetensors const& file, nn::ParameterRegistry const& registry,
                           std::string const& prefix) {
  std::vector<T> flat(static_cast<std::size_t>(registry.extent()), T(0));
  for (auto const& entry : registry.entries()) {
    file.read(prefix + entry.name, shape_of(entry), flat.data() + entry.offset);
  }
  return flat;
}

}  // namespace detail

/// Writes the values of all parameters, atomically. Throws `io::FailedRun` and writes nothing if one is not finite.
template <class Ctx>
void save_weights(io::Path const& path, Ctx& ctx, io::Metadata metadata = {}) {
  io::SafetensorsWriter file;
  file.metadata = std::move(metadata);
  auto const values = detail::host_copy(ctx.parameters.values());
  detail::add_buffer(file, ctx.parameters, "", values);
  file.write(path);
}

/// Reads the values of all parameters; halves and doubles are converted. A parameter that the file lacks or holds in
/// another shape, and a tensor that the model has no use for, are errors, after which nothing has changed.
template <class Ctx>
void load_weights(io::Path const& path, Ctx& ctx) {
  io::Safetensors const file(path);
  auto const values = detail::read_buffer<typename Ctx::Real>(file, ctx.parameters, "");
  for (auto const& [name, _] : file.tensors()) {
    ATTN_CHECK(ctx.parameters.contains(name), "load_weights: '", path.string(), "' holds '", name,
               "', which is no parameter of this model; choose the model that the weights belong to");
  }
  detail::copy_from_host(values, ctx.parameters.values());
}

}  // namespace attn::train
