/// Registry: which numbers a model keeps, how they are called, and where they lie; no memory yet.
///
/// A model keeps *parameters*, which training changes by their gradients, and *buffers*, which modules change
/// themselves (running statistics, say). Each kind lies in a flat array of its own. A module registers what it keeps
/// when it is constructed, through a `Builder`, and holds handles (offset and shape), never pointers.
#pragma once

#include "attn/core/check.hpp"
#include "attn/core/random.hpp"
#include "attn/core/tensor.hpp"
#include "attn/nn/attributes.hpp"
#include "attn/nn/initialize.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attn::nn {

/// What a module keeps of a parameter: its place in the flat arrays of values and gradients, and its shape.
template <int Rank>
struct Parameter {
  Index offset = -1;
  Extents<Rank> shape{};
};

/// What a module keeps of a buffer: its place in the flat array of buffers, and its shape.
template <int Rank>
struct Buffer {
  Index offset = -1;
  Extents<Rank> shape{};
};

/// A named tensor in a flat array.
struct FlatEntry {
  std::string name;  // as in the implementation whose weights load unchanged: "blocks.0.attn.qkv.weight"
  std::vector<Index> shape;
  Index offset = 0;  // of the first element in the flat array
  Index size = 0;    // product of the extents
  Initializer initializer;
};

/// One parameter as files and optimizers see it.
struct ParameterEntry : FlatEntry, Treatment {};

/// One buffer as files see it.
struct BufferEntry : FlatEntry {};

/// Names, shapes and places of parameters and buffers, in the order of their registration. A name is given once: no
/// buffer is called as a parameter is.
class ParameterRegistry {
 public:
  /// Offsets and extents of the flat arrays are multiples of this, so that a kernel over them works in whole packs.
  static constexpr Index granule = 16;

  /// Registers a parameter. Its place starts on a cache line; what lies between two parameters is zero and stays zero.
  template <int Rank>
  Parameter<Rank> add(std::string const& name, Extents<Rank> const& shape, Initializer const& initializer,
                      ParameterAttributes const& attributes = {}) {
    ParameterEntry entry;
    entry.decays = Rank > 1;
    entry.change(attributes);
    Index const offset = place<Rank>("ParameterRegistry::add", parameters_, std::move(entry), name, shape, initializer);
    ++attributes_version_;
    return {.offset = offset, .shape = shape};
  }

  /// Registers a buffer, which starts from its initial values and which no optimizer changes.
  template <int Rank>
  Buffer<Rank> add_buffer(std::string const& name, Extents<Rank> const& shape, Initializer const& initializer) {
    return {.offset = place<Rank>("ParameterRegistry::add_buffer", buffers_, BufferEntry(), name, shape, initializer),
            .shape = shape};
  }

  /// Changes attributes of all parameters whose names match `pattern`: "blocks.0.*", or a name itself.
  void set(std::string_view pattern, ParameterAttributes const& changed) {
    check_patterns({std::string(pattern)});
    for (ParameterEntry& entry : parameters_.entries) {
      if (matches(pattern, entry.name)) entry.change(changed);
    }
    ++attributes_version_;
  }

  /// Throws where a pattern matches no parameter.
  void check_patterns(std::vector<std::string> const& patterns) const {
    for (auto const& pattern : patterns) {
      bool const found = std::any_of(entries().begin(), entries().end(),
                                     [&](ParameterEntry const& entry) { return matches(pattern, entry.name); });
      ATTN_CHECK(found, "Parameters: give a pattern that matches the name of a parameter, such as \"",
                 entries().empty() ? "head.*" : entries().front().name, "\"; \"", pattern, "\" matches none of ",
                 entries().size());
    }
  }

  /// Another number after each change of attributes: what is derived from them is then made anew.
  std::uint64_t attributes_version() const { return attributes_version_; }

  std::vector<ParameterEntry> const& entries() const { return parameters_.entries; }
  std::vector<BufferEntry> const& buffer_entries() const { return buffers_.entries; }

  /// The number of numbers in all parameters.
  Index count() const {
    Index n = 0;
    for (auto const& entry : entries()) n += entry.size;
    return n;
  }

  /// The length of the flat arrays of parameters, and of that of buffers, with the gaps between the entries.
  Index extent() const { return parameters_.extent; }
  Index buffer_extent() const { return buffers_.extent; }

  bool contains(std::string_view name) const { return parameters_.by_name.contains(name); }
  bool contains_buffer(std::string_view name) const { return buffers_.by_name.contains(name); }

  ParameterEntry const& entry(std::string_view name) const {
    return find(parameters_, name, "Parameters: ask for one of the model's ", " parameters");
  }
  BufferEntry const& buffer_entry(std::string_view name) const {
    return find(buffers_, name, "Parameters: ask for one of the model's ", " buffers");
  }

 private:
  template <class Entry>
  struct Layout {
    std::vector<Entry> entries;
    std::map<std::string, std::size_t, std::less<>> by_name;
    Index extent = 0;
  };

  /// Gives an entry its place at the end of `layout`, and returns the offset.
  template <int Rank, class Entry>
  Index place(char const* caller, Layout<Entry>& layout, Entry entry, std::string const& name,
              Extents<Rank> const& shape, Initializer const& initializer) {
    ATTN_CHECK(!contains(name) && !contains_buffer(name), caller,
               ": give each parameter and buffer its own name, got \"", name, "\" twice");
    entry.name = name;
    entry.offset = layout.extent;
    entry.size = 1;
    entry.initializer = initializer;
    for (int r = 0; r < Rank; ++r) {
      ATTN_CHECK(shape[r] > 0, caller, ": give \"", name, "\" positive extents, got ", shape[r]);
      entry.shape.push_back(shape[r]);
      entry.size *= shape[r];
    }
    layout.extent += (entry.size + granule - 1) / granule * granule;
    layout.by_name.emplace(name, layout.entries.size());
    layout.entries.push_back(std::move(entry));
    return layout.entries.back().offset;
  }

  template <class Entry>
  static Entry const& find(Layout<Entry> const& layout, std::string_view name, char const* ask, char const* kind) {
    auto const found = layout.by_name.find(name);
    ATTN_CHECK(found != layout.by_name.end(), ask, layout.entries.size(), kind, ", got \"", name, "\"");
    return layout.entries[found->second];
  }

  Layout<ParameterEntry> parameters_;
  Layout<BufferEntry> buffers_;
  std::uint64_t attributes_version_ = 0;
};

/// Where a module registers what it keeps: a registry and a prefix for names. `builder / "attn"` is the place of the
/// submodule "attn". A `Context` converts to the builder of its root.
class Builder {
 public:
  Builder(ParameterRegistry& registry, std::string prefix = {}) : registry_(&registry), prefix_(std::move(prefix)) {}

  Builder operator/(std::string_view name) const { return {*registry_, join(name)}; }
  Builder operator/(Index number) const { return *this / std::to_string(number); }

  template <int Rank>
  Parameter<Rank> add(std::string_view name, Extents<Rank> const& shape, Initializer const& initializer,
                      ParameterAttributes const& attributes = {}) const {
    return registry_->add<Rank>(join(name), shape, initializer, attributes);
  }
  template <int Rank>
  Buffer<Rank> add_buffer(std::string_view name, Extents<Rank> const& shape, Initializer const& initializer) const {
    return registry_->add_buffer<Rank>(join(name), shape, initializer);
  }

  /// Changes attributes of parameters here whose names match: a model says so of those that its modules registered.
  void set(std::string_view pattern, ParameterAttributes const& changed) const {
    registry_->set(join(pattern), changed);
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

}  // namespace attn::nn
