/// Numeric arrays of MATLAB's files, versions 4 and 5 (`save -v4`, `-v6` and `-v7`), from machines of either byte
/// order.
#pragma once

#include "attn/io/detail/mat_v4.hpp"
#include "attn/io/detail/mat_v5.hpp"
#include "attn/io/file.hpp"

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attn::io {

/// A numeric array of a .mat file as doubles, in the file's own order: the *first* index varies fastest. Integers of 64
/// bits beyond 2^53 are rounded.
struct MatArray {
  std::vector<std::size_t> shape;  // at least two extents
  std::vector<double> values;

  double operator()(std::size_t i, std::size_t j) const { return values[i + shape[0] * j]; }
  double operator()(std::size_t i, std::size_t j, std::size_t k) const {
    return values[i + shape[0] * (j + shape[1] * k)];
  }
};

/// A .mat file whose variables are read one by one, when they are asked for. One that cannot be read (text, cells,
/// structures, objects, complex or sparse numbers, damage within it) is no hindrance to the others. Throws
/// `attn::Error` for a file that ends too early or is of another version.
class MatFile {
 public:
  explicit MatFile(Path const& path) : file_(path), name_(path.string()) {
    detail::MatBytes const bytes(reinterpret_cast<unsigned char const*>(file_.data()), file_.size());
    try {
      if ((version_4_ = detail::is_mat_v4(bytes))) {
        swapped_ = detail::mat_v4_swapped(bytes);
        entries_ = detail::mat_v4_entries(bytes);
        return;
      }
      check_header(bytes);
      entries_ = detail::mat_v5_entries(bytes.subspan(header), swapped_);
    } catch (detail::MatObstacle const& obstacle) {
      attn::detail::fail("read_mat: '", name_, "' ", obstacle.words);
    }
  }

  /// The names of the arrays that can be read, and of those that are damaged, in the file's order.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (auto const& e : entries_) {
      if (!e.obstacle || e.obstacle->damage) names.push_back(e.name);
    }
    return names;
  }

  /// Whether there is a variable of this name, readable or not.
  bool contains(std::string_view array) const { return find(array) != nullptr; }

  /// One array; of several with one name, the last, as MATLAB would. `shape`, where given, is what it must have.
  MatArray array(std::string const& array, std::vector<std::size_t> const& shape = {}) const {
    detail::MatEntry const* const e = find(array);
    ATTN_CHECK(e != nullptr, "read_mat: '", name_, "' holds no numeric array '", array, "', only: ", contents());
    auto const check = [&](bool good, auto const&... words) {
      ATTN_CHECK(good, "read_mat: '", array, "' in '", name_, "' ", words...);
    };
    if (e->obstacle) check(false, e->obstacle->words);
    check(shape.empty() || e->shape == shape, "is ", text(e->shape), ", not ", text(shape));
    std::size_t count = 1;
    for (std::size_t const extent : e->shape) count *= extent;
    try {
      return {e->shape, version_4_ ? detail::mat_numbers(e->type, e->bytes, count, swapped_)
                                   : detail::mat_v5_numbers(*e, count, swapped_)};
    } catch (detail::MatObstacle const& obstacle) {
      check(false, obstacle.words);
      return {};
    }
  }

 private:
  static constexpr std::size_t header = 128;

  void check_header(detail::MatBytes bytes) {
    std::string_view const start = file_.text().substr(0, header);
    bool const hdf = start.starts_with(std::string_view("\x89HDF\r\n\x1a\n"));
    ATTN_CHECK(hdf || bytes.size() >= header, "read_mat: give a .mat file of version 4 or 5, '", name_,
               "' is truncated (", bytes.size(), " bytes, the header of version 5 alone has ", header, ")");
    std::string_view const order = hdf ? std::string_view() : start.substr(header - 2);
    ATTN_CHECK(hdf || order == "IM" || order == "MI", "read_mat: give a .mat file of version 4 or 5, '", name_,
               "' is not one");
    swapped_ = order == "MI";
    int const version = hdf ? 0x200 : detail::mat_number<std::uint16_t>(bytes.data() + header - 4, swapped_);
    ATTN_CHECK(version >> 8 != 2, "read_mat: '", name_, "' is of version 7.3, which is HDF5; save it again with -v7");
    ATTN_CHECK(version == 0x100, "read_mat: '", name_, "' has the unknown version ", version, "; save it with -v7");
  }

  detail::MatEntry const* find(std::string_view array) const {
    for (auto e = entries_.rbegin(); e != entries_.rend(); ++e) {
      if (e->name == array) return &*e;
    }
    return nullptr;
  }

  std::string contents() const {
    std::string all;
    for (auto const& e : entries_) {
      if (!all.empty()) all += ", ";
      all += e.name.empty() ? "one without a name" : e.name;
      if (e.obstacle) all += " (" + e.obstacle->words + ")";
    }
    return all.empty() ? "none" : all;
  }

  static std::string text(std::vector<std::size_t> const& shape) {
    std::string t;
    for (std::size_t const n : shape) t += (t.empty() ? "" : " x ") + std::to_string(n);
    return t;
  }

  MappedFile file_;
  std::string name_;
  std::vector<detail::MatEntry> entries_;
  bool version_4_ = false;
  bool swapped_ = false;
};

/// All real numeric arrays of a file, by name. What is of another kind is passed over, what is damaged throws.
inline std::map<std::string, MatArray> read_mat(Path const& path) {
  MatFile const file(path);
  std::map<std::string, MatArray> arrays;
  for (std::string const& name : file.names()) arrays.insert_or_assign(name, file.array(name));
  return arrays;
}

/// One array of a file. `shape`, where given, is what it must have.
inline MatArray read_mat_array(Path const& path, std::string const& array, std::vector<std::size_t> const& shape = {}) {
  return MatFile(path).array(array, shape);
}

}  // namespace attn::io
