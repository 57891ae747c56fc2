/// Arrays in numpy's .npy files: format versions 1 to 3, C and Fortran order, little-endian.
#pragma once

#include "attn/io/array.hpp"
#include "attn/io/file.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace attn::io {

namespace detail {

struct NpyName {
  DType dtype;
  char const* name;
};
inline constexpr NpyName npy_names[] = {
    {DType::boolean, "b1"}, {DType::u8, "u1"},  {DType::i8, "i1"},  {DType::u16, "u2"},
    {DType::i16, "i2"},     {DType::u32, "u4"}, {DType::i32, "i4"}, {DType::u64, "u8"},
    {DType::i64, "i8"},     {DType::f16, "f2"}, {DType::f32, "f4"}, {DType::f64, "f8"},
};

/// The dictionary that a .npy file opens with: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
struct NpyHeader {
  DType dtype = DType::f32;
  bool fortran_order = false;
  Shape shape;
};

/// Reads that dictionary, a Python literal, without trusting it.
class NpyHeaderParser {
 public:
  NpyHeaderParser(std::string_view text, std::string const& name) : text_(text), name_(name) {}

  NpyHeader parse() {
    NpyHeader header;
    bool has_descr = false;
    bool has_order = false;
    bool has_shape = false;
    expect('{');
    while (!accept('}')) {
      std::string_view const key = string();
      expect(':');
      if (key == "descr" && !std::exchange(has_descr, true)) {
        header.dtype = dtype(string());
      } else if (key == "fortran_order" && !std::exchange(has_order, true)) {
        header.fortran_order = boolean();
      } else if (key == "shape" && !std::exchange(has_shape, true)) {
        header.shape = tuple();
      } else {
        fail("has an unknown or repeated key");
      }
      if (!accept(',') && peek() != '}') fail("lacks a comma");
    }
    if (peek() != '\0' || !has_descr || !has_order || !has_shape) fail("must hold descr, fortran_order and shape");
    return header;
  }

 private:
  [[noreturn]] void fail(std::string const& problem) const {
    attn::detail::fail("read_npy: get '", name_, "' again, its header ", problem);
  }
  char peek() {
    while (!text_.empty() && (text_.front() == ' ' || text_.front() == '\n')) text_.remove_prefix(1);
    return text_.empty() ? '\0' : text_.front();
  }
  bool accept(char c) {
    bool const found = peek() == c;
    if (found) text_.remove_prefix(1);
    return found;
  }
  void expect(char c) {
    if (!accept(c)) fail(std::string("lacks a '") + c + "'");
  }
  std::string_view string() {
    char const quote = peek();
    std::size_t const end = quote == '\'' || quote == '"' ? text_.find(quote, 1) : std::string_view::npos;
    if (end == std::string_view::npos) fail("lacks a plain string (structured arrays cannot be read)");
    std::string_view const value = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    return value;
  }
  bool boolean() {
    peek();
    for (std::string_view const word : {"True", "False"}) {
      if (!text_.starts_with(word)) continue;
      text_.remove_prefix(word.size());
      return word == "True";
    }
    fail("lacks True or False");
  }
  Shape tuple() {
    Shape shape;
    expect('(');
    while (!accept(')')) {
      peek();
      std::size_t extent = 0;
      auto const [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), extent);
      if (error != std::errc()) fail("has a shape that is not made of counts");
      text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
      accept('L');  // Python 2 wrote long integers so
      shape.push_back(extent);
      if (!accept(',') && peek() != ')') fail("has a shape without commas");
    }
    return shape;
  }
  DType dtype(std::string_view descr) const {
    if (descr.size() == 3 && (descr[0] == '<' || descr[0] == '|' || descr[0] == '=')) {
      for (auto const& [dtype, name] : npy_names) {
        if (descr.substr(1) == name) return dtype;
      }
    }
    fail("names the type '" + std::string(descr) + "'; save little-endian b1, u1-u8, i1-i8, f2, f4 or f8");
  }

  std::string_view text_;
  std::string const& name_;
};

}  // namespace detail

/// Reads a .npy file; Fortran order becomes C order.
inline Array read_npy(Path const& path) {
  std::string const name = path.string();
  MappedFile const file(path);
  auto const* const bytes = reinterpret_cast<unsigned char const*>(file.data());
  ATTN_CHECK(file.size() >= 10 && std::memcmp(bytes, "\x93NUMPY", 6) == 0, "read_npy: give a .npy file, '", name,
             "' does not start like one");
  ATTN_CHECK(bytes[6] >= 1 && bytes[6] <= 3, "read_npy: save '", name, "' in format version 1, 2 or 3, not ",
             int(bytes[6]));
  std::size_t const prefix = bytes[6] == 1 ? 10 : 12;
  ATTN_CHECK(file.size() >= prefix, "read_npy: get '", name, "' again, it is truncated");
  std::size_t length = bytes[8] | std::size_t(bytes[9]) << 8;
  if (prefix == 12) length |= std::size_t(bytes[10]) << 16 | std::size_t(bytes[11]) << 24;
  ATTN_CHECK(length <= file.size() - prefix, "read_npy: get '", name, "' again, its header of ", length,
             " bytes reaches beyond the ", file.size(), " bytes of the file");
  std::string_view const text(reinterpret_cast<char const*>(bytes + prefix), length);
  detail::NpyHeader header = detail::NpyHeaderParser(text, name).parse();

  std::size_t const width = size_of(header.dtype);
  auto const count = element_count(header.shape);
  std::size_t const held = file.size() - prefix - length;
  ATTN_CHECK(count && *count * width == held, "read_npy: get '", name, "' again, shape ", to_string(header.shape),
             " of ", name_of(header.dtype), " does not take the ", held, " bytes after its header");
  Array array{header.dtype, std::move(header.shape), std::vector<std::byte>(held)};
  std::byte const* const data = file.data() + prefix + length;
  if (!header.fortran_order || held == 0) {  // without elements strides mean nothing
    std::copy_n(data, held, array.bytes.data());
    return array;
  }
  std::vector<std::ptrdiff_t> strides(array.shape.size());
  std::ptrdiff_t step = 1;
  for (std::size_t r = 0; r < strides.size(); ++r) {
    strides[r] = step;
    step *= static_cast<std::ptrdiff_t>(array.shape[r]);
  }
  std::byte* next = array.bytes.data();
  detail::for_each_offset(array.shape, strides, [&](std::ptrdiff_t offset) {
    std::memcpy(next, data + offset * static_cast<std::ptrdiff_t>(width), width);
    next += width;
  });
  return array;
}

/// Reads a .npy file into a new view: `read_npy<Kokkos::View<float**, Kokkos::HostSpace>>("q.npy")`.
template <KokkosView View>
View read_npy(Path const& path) {
  return to_view<View>(read_npy(path), path.string());
}

/// Writes a .npy file, atomically, in C order.
inline void write_npy(Path const& path, Array const& array) {
  auto const* const entry = std::find_if(std::begin(detail::npy_names), std::end(detail::npy_names),
                                         [&](detail::NpyName const& e) { return e.dtype == array.dtype; });
  ATTN_CHECK(entry != std::end(detail::npy_names), "write_npy: convert '", path.string(), "' from ",
             name_of(array.dtype), " to a type that numpy has");
  std::string shape;
  for (std::size_t const extent : array.shape) shape += std::to_string(extent) + ", ";
  if (array.shape.size() > 1) shape.resize(shape.size() - 2);  // (3,) keeps its comma, (3, 4) needs none at the end
  if (array.shape.size() == 1) shape.pop_back();
  std::string header = std::string("{'descr': '") + (size_of(array.dtype) == 1 ? "|" : "<") + entry->name +
                       "', 'fortran_order': False, 'shape': (" + shape + "), }";
  constexpr std::size_t prefix = 10;
  header.append(63 - (prefix + header.size()) % 64, ' ');  // so that the elements start at a multiple of 64
  header += '\n';
  std::string opening("\x93NUMPY\x01\x00", 8);
  opening += static_cast<char>(header.size() & 0xff);
  opening += static_cast<char>(header.size() >> 8);
  AtomicFile file(path);
  file.write(opening + header);
  file.write(array.bytes.data(), array.bytes.size());
  file.commit();
}

/// Writes the elements of a view, whatever its layout and memory space.
template <KokkosView View>
void write_npy(Path const& path, View const& view) {
  write_npy(path, to_array(view));
}

}  // namespace attn::io
