// Files of MATLAB are written here byte by byte, after the format's published description.
#include "attn/io/mat.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace {

using attn::io::Path;
using Bytes = std::string;

template <class T>
Bytes raw(T value) {
  return Bytes(reinterpret_cast<char const*>(&value), sizeof value);
}
Bytes element(std::uint32_t type, Bytes const& data) {
  Bytes e = raw(type) + raw(static_cast<std::uint32_t>(data.size())) + data;
  e.resize((e.size() + 7) / 8 * 8, '\0');
  return e;
}
Bytes small_element(std::uint16_t type, Bytes const& data) {
  Bytes e = raw(type) + raw(static_cast<std::uint16_t>(data.size())) + data;
  e.resize(8, '\0');
  return e;
}
template <class T>
Bytes numbers(std::vector<T> const& values) {
  Bytes all;
  for (T v : values) all += raw(v);
  return all;
}
Bytes matrix(Bytes const& name, std::vector<std::int32_t> const& shape, Bytes const& values, std::uint32_t kind = 6) {
  Bytes const flags = raw(kind) + raw(std::uint32_t(0));
  return element(14, element(6, flags) + element(5, numbers(shape)) +
                         (name.size() <= 4 ? small_element(1, name) : element(1, name)) + values);
}
Bytes compressed(Bytes const& content) {
  uLongf size = compressBound(static_cast<uLong>(content.size()));
  Bytes out(size, '\0');
  compress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<Bytef const*>(content.data()),
           static_cast<uLong>(content.size()));
  out.resize(size);
  return raw(std::uint32_t(15)) + raw(static_cast<std::uint32_t>(size)) + out;
}
Bytes header() {
  Bytes h = "MATLAB 5.0 MAT-file, made by a test";
  h.resize(124, ' ');
  return h + raw(std::uint16_t(0x0100)) + "IM";
}
Path file(Bytes const& content) {
  Path const path = std::filesystem::path(::testing::TempDir()) / "attn_test.mat";
  attn::io::write_file(path, content);
  return path;
}
Bytes doubles(std::vector<double> const& v) { return element(9, numbers(v)); }

void expect_error(Bytes const& content, std::string const& sentence) {
  try {
    attn::io::read_mat_array(file(content), "u", {2, 3});
    FAIL() << "expected: " << sentence;
  } catch (attn::Error const& e) {
    EXPECT_NE(std::string(e.what()).find(sentence), std::string::npos) << e.what();
  }
}

TEST(Mat, CompressedDoublesKeepTheirColumnMajorOrder) {
  auto const u = attn::io::read_mat_array(file(header() + compressed(matrix("u", {2, 3}, doubles({1, 2, 3, 4, 5, 6})))),
                                          "u", {2, 3});
  EXPECT_EQ(u(0, 0), 1);
  EXPECT_EQ(u(1, 0), 2);
  EXPECT_EQ(u(0, 2), 5);
}

TEST(Mat, LargeCompressedArraysComeBackWhole) {
  std::vector<double> values(101 * 101);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(double(i));
  auto const u = attn::io::read_mat_array(file(header() + compressed(matrix("u", {101, 101}, doubles(values)))), "u");
  EXPECT_EQ(u.values, values);
}

TEST(Mat, DoublesMayBeStoredAsSmallIntegers) {
  auto const u = attn::io::read_mat_array(
      file(header() + matrix("u", {2, 2}, small_element(2, numbers<std::uint8_t>({7, 8, 9, 255})))), "u");
  EXPECT_EQ(u.values, (std::vector<double>{7, 8, 9, 255}));
}

TEST(Mat, SeveralArraysOfThreeDimensionsAndOtherKindsAreFound) {
  Bytes const text = matrix("label", {1, 2}, element(4, numbers<std::uint16_t>({72, 105})), 4);
  auto const all = attn::io::read_mat(file(header() + text + matrix("U_star", {2, 1, 2}, doubles({1, 2, 3, 4})) +
                                           compressed(matrix("t", {1, 1}, element(7, numbers<float>({0.5f})), 7))));
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all.at("U_star")(1, 0, 1), 4);
  EXPECT_EQ(all.at("t")(0, 0), 0.5);
}

TEST(Mat, AFileThatIsCutAnywhereIsAnError) {
  Bytes const whole = header() + compressed(matrix("u", {2, 3}, doubles({1, 2, 3, 4, 5, 6})));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(attn::io::read_mat_array(file(whole.substr(0, size)), "u"), attn::Error) << size;
  }
}

TEST(Mat, BadFilesAreNamedInOneSentence) {
  expect_error("not a mat file", "is truncated");
  expect_error(Bytes(300, 'x'), "is not one");
  Bytes hdf = "MATLAB 7.3 MAT-file";
  hdf.resize(512, ' ');
  expect_error(hdf, "save it again with -v7");
  expect_error(Bytes("\x89HDF\r\n\x1a\n", 8) + Bytes(200, '\0'), "save it again with -v7");
  Bytes big = header();
  std::swap(big[126], big[127]);
  expect_error(big, "big-endian");
  expect_error(header(), "holds no numeric array 'u', only: none");
  expect_error(header() + matrix("u", {3, 2}, doubles({1, 2, 3, 4, 5, 6})), "is 3 x 2, not 2 x 3");
  expect_error(header() + matrix("u", {2, 3}, doubles({1, 2, 3})), "6 elements but 24 bytes");
  expect_error(header() + matrix("u", {2, 3}, doubles({1, 2, 3}), 0x806), "complex");
  Bytes damaged = header() + compressed(matrix("u", {2, 3}, doubles({1, 2, 3, 4, 5, 6})));
  damaged[140] = static_cast<char>(damaged[140] ^ 0x55);
  expect_error(damaged, "is corrupt");
}

}  // namespace
