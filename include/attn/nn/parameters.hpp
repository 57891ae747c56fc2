/// Parameters: which numbers a model trains, how they are called, and where they lie.
///
/// All parameters of a model lie in one flat buffer and their gradients in another of the same layout, so an optimizer
/// is one kernel and a checkpoint one loop. A module registers what it trains when it is constructed, through a
/// `Builder`, and keeps `Parameter` handles (offset and shape), never pointers. Memory comes at first use.
#pragma once

#include "attn/core/check.hpp"
#include "attn/core/random.hpp"
#include "attn/core/tensor.hpp"
#include "attn/nn/initialize.hpp"

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attn::nn {

/// What a module keeps of a parameter: its place in the flat buffers, and its shape.
template <int Rank>
struct Parameter {
  Index offset = -1;
  Extents<Rank> shape{};
};

/// One parameter as files and optimizers see it.
struct ParameterEntry {
  std::string name;  // as in the implementation whose weights load unchanged: "blocks.0.attn.qkv.weight"
  std::vector<Index> shape;
  Index offset = 0;    // of the first element in the flat buffers
  Index size = 0;      // product of the extents
  bool decays = true;  // whether weight decay applies: see `weight_decay_applies`
  Initializer initializer;
};

/// timm's rule: no decay for 1-D parameters, biases, class tokens and positions.
inline bool weight_decay_applies(std::string_view name, int rank) {
  auto const is_called = [&](std::string_view last) {
    return name == last || (name.ends_with(last) && name[name.size() - last.size() - 1] == '.');
  };
  return rank > 1 && !is_called("bias") && !is_called("pos_embed") && !is_called("cls_token");
}

/// Names, shapes and places of parameters, in the order of their registration; no memory yet.
class ParameterRegistry {
 public:
  /// Offsets and extents of the flat buffers are multiples of this, so that a kernel over them works in whole packs.
  static constexpr Index granule = 16;

  /// Registers a parameter. Its place starts on a cache line; what lies between two parameters is zero and stays zero.
  template <int Rank>
  Parameter<Rank> add(std::string name, Extents<Rank> const& shape, Initializer const& initializer) {
    ATTN_CHECK(!by_name_.contains(name), "ParameterRegistry::add: give each parameter its own name, got \"", name,
               "\" twice");
    ParameterEntry entry{.name = name,
                         .shape = {},
                         .offset = extent_,
                         .size = 1,
                         .decays = weight_decay_applies(name, Rank),
                         .initializer = initializer};
    for (int r = 0; r < Rank; ++r) {
      ATTN_CHECK(shape[r] > 0, "ParameterRegistry::add: give \"", name, "\" positive extents, got ", shape[r]);
      entry.shape.push_back(shape[r]);
      entry.size *= shape[r];
    }
    Parameter<Rank> const handle{.offset = entry.offset, .shape = shape};
    extent_ += (entry.size + granule - 1) / granule * granule;
    by_name_.emplace(std::move(name), entries_.size());
    entries_.push_back(std::move(entry));
    return handle;
  }

  std::vector<ParameterEntry> const& entries() const { return entries_; }

  /// The number of trained numbers.
  Index count() const {
    Index n = 0;
    for (auto const& entry : entries_) n += entry.size;
    return n;
  }

  /// The length of the flat buffers, with the gaps between parameters.
  Index extent() const { return extent_; }

  bool contains(std::string_view name) const { return by_name_.contains(name); }

  ParameterEntry const& entry(std::string_view name) const {
    auto const found = by_name_.find(name);
    ATTN_CHECK(found != by_name_.end(), "Parameters: ask for one of the model's ", entries_.size(),
               " parameters, got \"", name, "\"");
    return entries_[found->second];
  }

 private:
  std::vector<ParameterEntry> entries_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
  Index extent_ = 0;
};

/// Where a module registers what it trains: a registry and a prefix for names. `builder / "attn"` is the place of the
/// submodule "attn". A `Context` converts to the builder of its root.
class Builder {
 public:
  Builder(ParameterRegistry& registry, std::string prefix = {}) : registry_(&registry), prefix_(std::move(prefix)) {}

  Builder operator/(std::string_view name) const { return {*registry_, join(name)}; }
  Builder operator/(Index number) const { return *this / std::to_string(number); }

  template <int Rank>
  Parameter<Rank> add(std::string_view name, Extents<Rank> const& shape, Initializer const& initializer) const {
    return registry_->add<Rank>(join(name), shape, initializer);
  }

  /// A number of this place for random draws: dropout here draws by (seed, step, site).
  std::uint64_t site() const { return subkey(RandomKey{}, std::string_view(prefix_)).stream; }

  std::string const& prefix() const { return prefix_; }

 private:
  std::string join(std::string_view name) const {
    return prefix_.empty() ? std::string(name) : prefix_ + "." + std::string(name);
  }

  ParameterRegistry* registry_;
  std::string prefix_;
};

/// The values and gradients of registered parameters, in one memory space.
///
/// Initial values depend on (key, name, index) alone, not on the order of registration or the number of threads.
template <Real T, class Memory>
class Parameters : public ParameterRegistry {
 public:
  using Scalar = T;
  using MemorySpace = Memory;

  explicit Parameters(RandomKey key = {}) : key_(key) {}
  Parameters(Parameters const&) = delete;
  Parameters& operator=(Parameters const&) = delete;

  /// All values: (extent()).
  Tensor<T, 1, Memory> values() {
    if (Index(values_.extent(0)) < extent()) grow_values();
    return values_;
  }

  /// All gradients: (extent()). Zero at first.
  Tensor<T, 1, Memory> gradients() {
    if (Index(gradients_.extent(0)) < extent()) {
      gradients_ = enlarged(gradients_, "attn::Parameters::gradients");
    }
    return gradients_;
  }

  template <int Rank>
  Tensor<T, Rank, Memory> value(Parameter<Rank> const& p) {
    return {values().data() + p.offset, p.shape};
  }
  template <int Rank>
  Tensor<T, Rank, Memory> gradient(Parameter<Rank> const& p) {
    return {gradients().data() + p.offset, p.shape};
  }

  /// The elements of one entry, flat.
  Tensor<T, 1, Memory> value(ParameterEntry const& e) { return {values().data() + e.offset, {e.size}}; }
  Tensor<T, 1, Memory> gradient(ParameterEntry const& e) { return {gradients().data() + e.offset, {e.size}}; }

  template <ExecutionSpace Exec>
  void zero_gradients(Exec const& exec) {
    gradients();
    Kokkos::deep_copy(exec, gradients_, T(0));
  }

  /// A copy of one entry's values (or gradients) on the host. Waits for all work.
  std::vector<T> host_values(ParameterEntry const& e) { return host_copy(value(e)); }
  std::vector<T> host_gradients(ParameterEntry const& e) { return host_copy(gradient(e)); }

  /// Replaces one entry's values, converting from another real type where needed. Waits for all work.
  template <Real U>
  void assign(ParameterEntry const& e, std::span<U const> from) {
    ATTN_CHECK(Index(from.size()) == e.size, "Parameters::assign: give \"", e.name, "\" ", e.size, " numbers, got ",
               from.size());
    std::vector<T> converted(from.begin(), from.end());
    Kokkos::deep_copy(Kokkos::View<T*, Memory, Unmanaged>(value(e).data(), converted.size()),
                      Kokkos::View<T*, Kokkos::HostSpace, Unmanaged>(converted.data(), converted.size()));
  }

 private:
  using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
  using Buffer = Kokkos::View<T*, Memory>;

  static std::vector<T> host_copy(Tensor<T, 1, Memory> const& from) {
    std::vector<T> to(static_cast<std::size_t>(from.size()));
    Kokkos::deep_copy(Kokkos::View<T*, Kokkos::HostSpace, Unmanaged>(to.data(), to.size()),
                      Kokkos::View<T*, Memory, Unmanaged>(from.data(), to.size()));
    return to;
  }

  /// A buffer for everything registered so far that begins with the elements of `old`; the rest is zero.
  Buffer enlarged(Buffer const& old, char const* label) const {
    Buffer const larger(std::string(label), static_cast<std::size_t>(extent()));
    Kokkos::deep_copy(Kokkos::subview(larger, std::pair(std::size_t(0), old.extent(0))), old);
    return larger;
  }

  void grow_values() {
    Index const old_extent = Index(values_.extent(0));
    values_ = enlarged(values_, "attn::Parameters::values");
    auto const host = Kokkos::create_mirror_view(Kokkos::HostSpace(), values_);
    Kokkos::deep_copy(host, values_);
    for (auto const& e : entries()) {
      if (e.offset < old_extent) continue;
      T* const to = host.data() + e.offset;
      RandomKey const key = subkey(key_, std::string_view(e.name));
      Initializer const initializer = e.initializer;
      Kokkos::parallel_for("attn::Parameters::initialize",
                           Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace, Kokkos::IndexType<Index>>(0, e.size),
                           [=](Index i) { to[i] = static_cast<T>(draw(initializer, key, std::uint64_t(i))); });
    }
    Kokkos::fence("attn::Parameters::initialize");
    Kokkos::deep_copy(values_, host);
  }

  RandomKey key_;
  Buffer values_;
  Buffer gradients_;
};

}  // namespace attn::nn
