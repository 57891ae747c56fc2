// Files of MATLAB are written here byte by byte, after the format's published description; others come from scipy.
#include "attn/io/mat.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "io/files.hpp"

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
  attn::testing::put(path, content);
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
  expect_error(Bytes(300, '\0'), "attn_test.mat' is not a .mat file of version 4 or 5");
  expect_error(header(), "holds no numeric array 'u', only: none");
  expect_error(header() + matrix("u", {3, 2}, doubles({1, 2, 3, 4, 5, 6})), "is 3 x 2, not 2 x 3");
  expect_error(header() + matrix("u", {2, 3}, doubles({1, 2, 3})), "6 elements but 24 bytes");
  expect_error(header() + matrix("u", {2, 3}, doubles({1, 2, 3}), 0x806), "complex");
  expect_error(header() + matrix("u", {-2, 3}, doubles({})), "has impossible dimensions");
  expect_error(header() + matrix("u", {1 << 20, 1 << 20}, doubles({})), "has impossible dimensions");
  Bytes damaged = header() + compressed(matrix("u", {2, 3}, doubles({1, 2, 3, 4, 5, 6})));
  damaged[140] = static_cast<char>(damaged[140] ^ 0x55);
  expect_error(damaged, "is corrupt");
}

TEST(Mat, Version73IsToldByItsVersionNotItsWords) {
  Bytes hdf = "any words at all";
  hdf.resize(124, ' ');
  expect_error(hdf + raw(std::uint16_t(0x0200)) + "IM" + Bytes(400, '\0'), "is of version 7.3, which is HDF5");
  expect_error(hdf + Bytes("\x02\0MI", 4) + Bytes(400, '\0'), "save it again with -v7");
  expect_error(Bytes("\x89HDF\r\n\x1a\n", 8) + Bytes(200, '\0'), "save it again with -v7");
  expect_error(Bytes("\x89HDF\r\n\x1a\n", 8) + "short", "save it again with -v7");
  Bytes words = "MATLAB 7.3 MAT-file";  // a file of version 5 may say what it likes
  words.resize(124, ' ');
  Bytes const good = words + header().substr(124) + matrix("u", {1, 1}, doubles({7}));
  EXPECT_EQ(attn::io::read_mat_array(file(good), "u")(0, 0), 7);
}

TEST(Mat, WhatCannotBeReadDoesNotHinderTheRest) {
  Bytes const flags = element(6, raw(std::uint32_t(17)) + raw(std::uint32_t(0)));
  Bytes const object = element(14, flags + element(1, "when") + element(1, "MCOS") + element(1, "datetime") +
                                       matrix("", {6, 1}, element(6, numbers<std::uint32_t>({1, 2, 3, 4, 5, 6})), 13));
  Bytes const complex = matrix("z", {1, 1}, doubles({1}) + doubles({2}), 0x806);
  Bytes const short_one = matrix("short", {2, 3}, doubles({1}));
  Bytes broken = compressed(matrix("broken", {1, 1}, doubles({1})));
  broken[10] = static_cast<char>(~broken[10]);
  Bytes const bytes = header() + object + complex + short_one + broken + compressed(object) +
                      matrix("u", {1, 2}, doubles({5, 6})) + matrix("strange", {1, 1}, doubles({1}), 99);
  EXPECT_EQ(attn::io::read_mat_array(file(bytes), "u").values, (std::vector<double>{5, 6}));
  auto const message = [&](char const* name) {
    try {
      attn::io::read_mat_array(file(bytes), name);
    } catch (attn::Error const& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_NE(message("when").find("'when' in "), std::string::npos) << message("when");
  EXPECT_NE(message("when").find("is an object, a string, date or table"), std::string::npos) << message("when");
  EXPECT_NE(message("z").find("holds complex numbers; save its parts"), std::string::npos) << message("z");
  EXPECT_NE(message("short").find("6 elements but 8 bytes"), std::string::npos) << message("short");
  EXPECT_NE(message("strange").find("unknown class 99"), std::string::npos) << message("strange");
  EXPECT_NE(message("v").find("one without a name (is corrupt"), std::string::npos) << message("v");
  EXPECT_THROW(attn::io::read_mat(file(bytes)), attn::Error);  // all were asked for, and one is damaged
}

TEST(Mat, FilesOfScipyOfEachVersionAndByteOrderAreRead) {
  for (char const* name : {"v4", "v5", "v5_compressed", "big_endian", "big_endian_compressed", "big_endian_v4"}) {
    auto const all = attn::io::read_mat(Path(ATTN_GOLDEN_DIR) / "mat" / (std::string(name) + ".mat"));
    ASSERT_TRUE(all.contains("u") && all.contains("t")) << name;
    EXPECT_EQ(all.at("u").shape, (std::vector<std::size_t>{2, 3})) << name;
    EXPECT_EQ(all.at("u").values, (std::vector<double>{1.5, 4, -2, 5e-300, 3, 6})) << name;
    EXPECT_EQ(all.at("t").values, (std::vector<double>{1, -2, 3, 32767})) << name;
    if (all.size() == 2) continue;
    EXPECT_EQ(all.at("single")(0, 0), double(0.1f)) << name;
    EXPECT_EQ(all.size(), std::string(name) == "v4" ? 3u : 7u) << name;
    if (all.size() == 3) continue;
    EXPECT_EQ(all.at("cube")(1, 2, 3), 23) << name;
    EXPECT_EQ(all.at("big")(0, 1), -0x1p40) << name;
    EXPECT_EQ(all.at("logical")(1, 0), 1) << name;
    EXPECT_TRUE(all.at("none").values.empty()) << name;
  }
}

TEST(Mat, AFileOfVersion4ThatIsCutIsAnErrorUnlessBetweenVariables) {
  attn::io::MappedFile const whole(Path(ATTN_GOLDEN_DIR) / "mat/big_endian_v4.mat");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    if (size == 20 + 2 + 48) continue;  // u alone
    EXPECT_THROW(attn::io::read_mat_array(file(Bytes(whole.text().substr(0, size))), "u"), attn::Error) << size;
  }
}

TEST(Mat, CompressedDataAreNotBelievedToGrowWithoutBound) {
  Bytes const zeros(std::size_t(4) << 20, '\0');
  expect_error(header() + compressed(compressed(compressed(element(14, zeros)))), "what is compressed is not an array");
  Bytes const lie = raw(std::uint32_t(14)) + raw(std::uint32_t(4'000'000'000));
  Bytes const head = matrix("u", {2, 3}, doubles({1, 2, 3, 4, 5, 6})).substr(8);
  expect_error(header() + compressed(lie + head), "cannot become the 4000000000 that are announced");
  expect_error(header() + compressed(matrix("u", {2, 3}, doubles({1, 2, 3, 4, 5, 6})) + zeros),
               "more than its element is compressed");
}

}  // namespace
