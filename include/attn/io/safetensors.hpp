/// Named tensors in .safetensors files: weights, published or our own, and checkpoints.
///
/// The file is a header length (64-bit, little-endian), that many bytes of JSON, and the tensors' bytes:
/// {"name": {"dtype": "F32", "shape": [3, 4], "data_offsets": [begin, end]}, "__metadata__": {"key": "text"}}.
#pragma once

#include "attn/io/array.hpp"
#include "attn/io/detail/json_shape.hpp"
#include "attn/io/detail/nearest.hpp"
#include "attn/io/file.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attn::io {

/// Free text beside the tensors of a file.
using Metadata = std::map<std::string, std::string>;

/// A tensor of a file: its bytes are `begin <= i < end` of the data after the header.
struct TensorEntry {
  DType dtype = DType::f32;
  Shape shape;
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// A .safetensors file, mapped into memory and checked entirely by the constructor: every tensor has a type that the
/// format knows, its bytes are as many as type and shape say, and the tensors fill the file without gap or overlap.
/// Types that the format knows and this library does not (complex numbers, 8 bits and fewer) are no hindrance to the
/// other tensors. Further keys of an entry are ignored, as the format's own library does; names that occur twice, which
/// the format forbids and that library lets pass, are refused.
class Safetensors {
 public:
  explicit Safetensors(Path const& path) : file_(path), name_(path.string()) {
    check(file_.size() >= 8, "is too short for a .safetensors file (", file_.size(), " bytes)");
    std::uint64_t length = 0;
    std::memcpy(&length, file_.data(), 8);
    check(length <= largest_header, "is not a .safetensors file, or corrupt: its header would have ", length,
          " bytes, more than the ", largest_header, " that the format allows");
    check(length <= file_.size() - 8, "is truncated, or not a .safetensors file: its header of ", length,
          " bytes reaches beyond the ", file_.size(), " bytes of the file");
    data_ = {file_.data() + 8 + length, file_.size() - 8 - length};
    read_header({reinterpret_cast<char const*>(file_.data()) + 8, length});
    check_coverage();
  }

  std::map<std::string, TensorEntry> const& tensors() const { return tensors_; }
  Metadata const& metadata() const { return metadata_; }
  bool contains(std::string const& tensor) const { return tensors_.contains(tensor); }

  /// The description of a tensor; an unknown name is an error that names the nearest known one.
  TensorEntry const& entry(std::string const& tensor) const {
    auto const found = tensors_.find(tensor);
    if (found != tensors_.end()) return found->second;
    auto const other = others_.find(tensor);
    if (other != others_.end()) fail("holds '", tensor, "' as ", other->second.type, ", which cannot be read; ", types);
    std::vector<std::string> names;
    for (auto const& [known, _] : tensors_) names.push_back(known);
    fail("has no tensor '", tensor, "' among its ", names.size(), detail::did_you_mean(tensor, names));
  }

  /// The bytes of a tensor, where they lie in the file; valid as long as this is.
  std::span<std::byte const> bytes(std::string const& tensor) const {
    TensorEntry const& e = entry(tensor);
    return data_.subspan(e.begin, e.end - e.begin);
  }

  /// Copies a tensor that must have this shape to `destination`, converted to `T` as `convert` allows: from F16, BF16,
  /// F32 and F64 to float and double, from integers to integers that hold the values.
  template <class T>
  void read(std::string const& tensor, std::span<std::size_t const> shape, T* destination) const {
    TensorEntry const& e = entry(tensor);
    check(std::equal(shape.begin(), shape.end(), e.shape.begin(), e.shape.end()), "holds '", tensor, "' with shape ",
          to_string(e.shape), ", but shape ", to_string(shape), " is needed");
    std::size_t const count = (e.end - e.begin) / size_of(e.dtype);
    convert(data_.data() + e.begin, e.dtype, count, destination, "Safetensors: '" + tensor + "' in '" + name_ + "'");
  }
  template <class T>
  void read(std::string const& tensor, Shape const& shape, T* destination) const {
    read(tensor, std::span<std::size_t const>(shape), destination);
  }

  /// The elements of a tensor that must have this shape.
  template <class T>
  std::vector<T> get(std::string const& tensor, Shape const& shape) const {
    TensorEntry const& e = entry(tensor);
    std::size_t const count = shape == e.shape ? (e.end - e.begin) / size_of(e.dtype) : 0;
    return detail::vector_of<T>(count, [&](T* values) { read(tensor, shape, values); });
  }

  /// A tensor of any shape and type, as it is.
  Array array(std::string const& tensor) const {
    TensorEntry const& e = entry(tensor);
    auto const raw = bytes(tensor);
    return {e.dtype, e.shape, std::vector<std::byte>(raw.begin(), raw.end())};
  }

  /// The header of a file may have at most so many bytes.
  static constexpr std::uint64_t largest_header = 100'000'000;

 private:
  using Json = nlohmann::json;
  static constexpr char const* types = "save it as BOOL, U8-U64, I8-I64, F16, BF16, F32 or F64";

  template <class... Parts>
  [[noreturn]] void fail(Parts const&... parts) const {
    attn::detail::fail("Safetensors: '", name_, "' ", parts...);
  }
  template <class... Parts>
  void check(bool good, Parts const&... parts) const {
    if (!good) fail(parts...);
  }

  void read_header(std::string_view text) {
    check(text.starts_with('{'), "is not a .safetensors file: its header does not start with '{'");
    constexpr int deepest = 128;
    detail::JsonShape const shape(text, deepest);
    check(!shape.is_too_deep(), "is not a .safetensors file, or corrupt: its header is nested ", deepest, " deep");
    if (shape.repeated() != nullptr) fail("names '", *shape.repeated(), "' twice");
    Json header;
    try {
      header = Json::parse(text);
    } catch (Json::parse_error const& e) {
      fail("is not a .safetensors file, or corrupt: its header is not JSON (at byte ", e.byte, " of ", text.size(),
           ")");
    } catch (Json::exception const&) {
      fail("is not a .safetensors file, or corrupt: its header holds a number that is too large");
    }
    std::size_t const end = text.find('\0');  // the parser takes a zero byte for the end of the text
    check(end == std::string_view::npos, "is corrupt: its header holds a zero byte, at byte ", end, " of ",
          text.size());
    for (auto const& [name, value] : header.items()) {
      if (name == "__metadata__") {
        read_metadata(value);
      } else {
        read_entry(name, value);
      }
    }
  }

  void read_metadata(Json const& value) {
    check(value.is_object() || value.is_null(), "has __metadata__ that is not an object");
    for (auto const& [key, text] : value.items()) {
      check(text.is_string(), "has __metadata__ whose '", key, "' is not text");
      metadata_.emplace(key, text.get<std::string>());
    }
  }

  void read_entry(std::string const& name, Json const& value) {
    bool const complete =
        value.is_object() && value.contains("dtype") && value.contains("shape") && value.contains("data_offsets");
    check(complete, "must describe '", name, "' by dtype, shape and data_offsets");
    std::string const type = value["dtype"].is_string() ? value["dtype"].get<std::string>() : "that is no text";
    Type const known = type_of(type);
    check(known.bits != 0, "gives '", name, "' the type ", type, "; ", types);
    TensorEntry e;
    e.dtype = known.dtype.value_or(DType::u8);
    e.shape = read_counts(name, "shape", value["shape"]);
    Shape const offsets = read_counts(name, "data_offsets", value["data_offsets"]);
    check(offsets.size() == 2 && offsets[0] <= offsets[1], "has data_offsets of '", name,
          "' that are not a begin and an end after it");
    e.begin = offsets[0];
    e.end = offsets[1];
    check(e.end <= data_.size(), "is truncated or corrupt: '", name, "' ends at byte ", e.end, " of ", data_.size());
    auto const count = element_count(e.shape);
    bool const countable = count && *count <= std::numeric_limits<std::size_t>::max() / known.bits;
    check(countable && *count * known.bits == 8 * (e.end - e.begin), "gives '", name, "' of shape ", to_string(e.shape),
          " and type ", type, " ", e.end - e.begin, " bytes, which do not fit");
    known.dtype ? void(tensors_.emplace(name, e)) : void(others_.emplace(name, Other{type, e}));
  }

  /// A type of the format: the bits of an element, 0 for none that the format knows, and what reads it.
  struct Type {
    std::size_t bits = 0;
    std::optional<DType> dtype = {};
  };
  static Type type_of(std::string_view name) {
    for (int i = 0; i <= static_cast<int>(DType::f64); ++i) {
      auto const dtype = static_cast<DType>(i);
      if (name == name_of(dtype)) return {8 * size_of(dtype), dtype};
    }
    for (auto const& [other, bits] : std::initializer_list<std::pair<std::string_view, std::size_t>>{
             {"F4", 4}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"C64", 64}}) {
      if (name == other) return {bits, std::nullopt};
    }
    return {};
  }

  Shape read_counts(std::string const& name, char const* key, Json const& value) const {
    bool good = value.is_array();
    for (Json const& item : value) good = good && item.is_number_unsigned();
    check(good, "has a ", key, " of '", name, "' that is not a list of counts");
    return value.get<Shape>();
  }

  /// Every byte after the header belongs to exactly one tensor.
  void check_coverage() const {
    std::vector<std::pair<TensorEntry const*, std::string const*>> order;
    for (auto const& [name, e] : tensors_) order.emplace_back(&e, &name);
    for (auto const& [name, other] : others_) order.emplace_back(&other.entry, &name);
    std::sort(order.begin(), order.end(), [](auto const& a, auto const& b) {
      return std::pair(a.first->begin, a.first->end) < std::pair(b.first->begin, b.first->end);
    });
    std::size_t covered = 0;
    for (auto const& [e, name] : order) {
      check(e->begin >= covered, "has tensors that overlap: '", *name, "' begins at byte ", e->begin,
            ", before the one in front of it ends at ", covered);
      check(e->begin == covered, "has a gap of ", e->begin - covered, " bytes in front of '", *name, "'");
      covered = e->end;
    }
    check(covered == data_.size(), "has ", data_.size() - covered, " bytes after its last tensor");
  }

  MappedFile file_;
  std::string name_;
  std::span<std::byte const> data_;
  std::map<std::string, TensorEntry> tensors_;
  struct Other {
    std::string type;
    TensorEntry entry;
  };
  std::map<std::string, Other> others_;  // of types that cannot be read
  Metadata metadata_;
};

/// Collects tensors and writes them to a .safetensors file. The elements are not copied: they must stay where they are
/// until `write` returns.
class SafetensorsWriter {
 public:
  Metadata metadata;

  /// Elements in C order, as many as the shape says.
  template <class T>
  void add(std::string const& name, Shape const& shape, T const* elements) {
    add_bytes(name, dtype_of<T>(), shape, reinterpret_cast<std::byte const*>(elements));
  }
  void add(std::string const& name, Array const& array) {
    add_bytes(name, array.dtype, array.shape, array.bytes.data());
  }
  void add_bytes(std::string const& name, DType dtype, Shape const& shape, std::byte const* bytes) {
    ATTN_CHECK(!name.empty() && name != "__metadata__", "SafetensorsWriter: choose another name than '", name, "'");
    ATTN_CHECK(!names_.contains(name), "SafetensorsWriter: add '", name, "' once, it is there already");
    auto const count = element_count(shape);
    ATTN_CHECK(count, "SafetensorsWriter: '", name, "' has an impossible shape ", to_string(shape));
    names_.insert(name);
    items_.push_back({name, dtype, shape, bytes, *count * size_of(dtype)});
  }

  /// Writes all tensors, atomically: see `AtomicFile`.
  void write(Path const& path) const {
    std::vector<Item const*> order;
    for (Item const& item : items_) order.push_back(&item);
    // Wide types first, so that every tensor is aligned to its element.
    std::stable_sort(order.begin(), order.end(),
                     [](Item const* a, Item const* b) { return size_of(a->dtype) > size_of(b->dtype); });
    using Json = nlohmann::ordered_json;
    Json header = Json::object();
    auto& entries = header.get_ref<Json::object_t&>();  // a list: header[name] would look through all of it
    entries.reserve(order.size() + 1);
    if (!metadata.empty()) entries.emplace_back("__metadata__", metadata);
    std::size_t offset = 0;
    for (Item const* item : order) {
      entries.emplace_back(item->name, Json{{"dtype", name_of(item->dtype)},
                                            {"shape", item->shape},
                                            {"data_offsets", {offset, offset + item->size}}});
      offset += item->size;
    }
    std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    text.append((8 - text.size() % 8) % 8, ' ');
    std::uint64_t const length = text.size();
    AtomicFile file(path);
    file.write(&length, 8);
    file.write(text);
    for (Item const* item : order) file.write(item->bytes, item->size);
    file.commit();
  }

 private:
  struct Item {
    std::string name;
    DType dtype;
    Shape shape;
    std::byte const* bytes;
    std::size_t size;
  };
  std::vector<Item> items_;
  std::set<std::string> names_;
};

}  // namespace attn::io
