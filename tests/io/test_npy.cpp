#include "attn/io/npy.hpp"

#include <Kokkos_Core.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "io/files.hpp"

namespace {

using namespace attn::testing;
using attn::io::Array;
using attn::io::DType;
using attn::io::read_npy;
using attn::io::Shape;
using attn::io::write_npy;

/// A .npy file with the given header text, padded as numpy does, and data.
std::string npy(std::string header, std::string const& data, int version = 1) {
  header += "\n";
  std::string text = std::string("\x93NUMPY") + static_cast<char>(version) + '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) text += static_cast<char>(header.size() >> (8 * i) & 255);
  return text + header + data;
}

template <class T>
std::string bytes_of(std::vector<T> const& values) {
  return {reinterpret_cast<char const*>(values.data()), values.size() * sizeof(T)};
}

class Npy : public ::testing::Test {
 protected:
  Array read(std::string const& bytes) const {
    put(file, bytes);
    return read_npy(file);
  }
  TemporaryDirectory directory;
  Path file = directory / "array.npy";
};

TEST_F(Npy, ReadsWhatNumpyWrote) {
  Path const golden = Path(ATTN_GOLDEN_DIR) / "vit";
  auto const images = read_npy<Kokkos::View<float****, Kokkos::HostSpace>>(golden / "images.npy");
  EXPECT_EQ(images.extent(0), 3u);
  EXPECT_EQ(images.extent(3), 12u);
  Array const labels = read_npy(golden / "labels.npy");
  EXPECT_EQ(labels.dtype, DType::i64);
  for (std::int64_t const label : labels.as<std::int64_t>()) EXPECT_LT(label, 7);
}

TEST_F(Npy, WritesTheBytesThatNumpyWrites) {
  for (char const* const name : {"vit/images.npy", "vit/labels.npy", "vit/softmax_loss.npy", "data/boxes_edges.npy"}) {
    Path const golden = Path(ATTN_GOLDEN_DIR) / name;
    write_npy(file, read_npy(golden));
    EXPECT_EQ(content(file), content(golden)) << name;
  }
}

TEST_F(Npy, EveryTypeAndRankRoundTrips) {
  for (int type = 0; type <= static_cast<int>(DType::f64); ++type) {
    auto const dtype = static_cast<DType>(type);
    if (dtype == DType::bf16) continue;  // numpy has none
    for (Shape const& shape : {Shape{}, Shape{0}, Shape{1}, Shape{7}, Shape{3, 0}, Shape{2, 3}, Shape{2, 1, 2, 5}}) {
      Array array{dtype, shape, std::vector<std::byte>(*attn::io::element_count(shape) * attn::io::size_of(dtype))};
      for (std::size_t i = 0; i < array.bytes.size(); ++i) array.bytes[i] = static_cast<std::byte>(i % 2);
      write_npy(file, array);
      Array const back = read_npy(file);
      EXPECT_EQ(back.dtype, dtype);
      EXPECT_EQ(back.shape, shape);
      EXPECT_EQ(back.bytes, array.bytes);
    }
  }
}

TEST_F(Npy, FortranOrderBecomesCOrder) {
  std::vector<float> const columns = {0, 3, 1, 4, 2, 5};
  Array const array = read(npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", bytes_of(columns)));
  EXPECT_EQ(array.as<float>(), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  std::vector<std::uint8_t> cube(24);  // element (i, j, k) of (2, 3, 4) lies at i + 2 j + 6 k
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j)
      for (int k = 0; k < 4; ++k) cube[std::size_t(i + 2 * j + 6 * k)] = std::uint8_t(12 * i + 4 * j + k);
  Array const three = read(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4), }", bytes_of(cube)));
  std::vector<std::uint8_t> expected(24);
  std::iota(expected.begin(), expected.end(), std::uint8_t(0));
  EXPECT_EQ(three.as<std::uint8_t>(), expected);
}

TEST_F(Npy, UnderstandsVersionsTwoAndThreeAndOldSpellings) {
  std::vector<double> const values = {1, 2, 3};
  for (int const version : {1, 2, 3}) {
    Array const array = read(npy("{\"shape\":(3L,),'fortran_order':False,'descr':'<f8'}", bytes_of(values), version));
    EXPECT_EQ(array.shape, Shape{3});
    EXPECT_EQ(array.as<double>(), values);
  }
}

TEST_F(Npy, ViewsOfAnyLayoutRoundTrip) {
  Kokkos::View<double**, Kokkos::LayoutLeft, Kokkos::HostSpace> view("v", 3, 5);
  for (int i = 0; i < 15; ++i) view(i / 5, i % 5) = i;
  write_npy(file, view);
  auto const back = read_npy<Kokkos::View<double**, Kokkos::LayoutRight, Kokkos::HostSpace>>(file);
  for (int i = 0; i < 15; ++i) EXPECT_EQ(back(i / 5, i % 5), i);
}

TEST_F(Npy, SaysWhatIsWrongWithAFile) {
  std::string const good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
  std::string const data(8, '\0');
  EXPECT_ERROR(read_npy(directory / "none.npy"), "No such file");
  EXPECT_ERROR(read(""), "does not start like one");
  EXPECT_ERROR(read("hello, this is text"), "does not start like one");
  EXPECT_ERROR(read(npy(good, data, 4)), "version 1, 2 or 3, not 4");
  EXPECT_ERROR(read(npy(good, data).substr(0, 30)), "reaches beyond the 30 bytes");
  EXPECT_ERROR(read(npy(good, data, 2).substr(0, 11)), "truncated");
  EXPECT_ERROR(read(npy(good, data.substr(1))), "shape (2) of F32 does not take the 7 bytes");
  EXPECT_ERROR(read(npy(good, data + "x")), "does not take the 9 bytes");
  EXPECT_ERROR(read(npy("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", data)), "names the type '>f4'");
  EXPECT_ERROR(read(npy("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", data)), "names the type '<c8'");
  EXPECT_ERROR(read(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", data)), "structured");
  EXPECT_ERROR(read(npy("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,), }", data)), "True or False");
  EXPECT_ERROR(read(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", data)), "not made of counts");
  EXPECT_ERROR(read(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", data)),
               "counts");
  EXPECT_ERROR(read(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", data)),
               "does not take");
  EXPECT_ERROR(read(npy("{'descr': '<f4', 'fortran_order': False, }", data)), "must hold");
  EXPECT_ERROR(read(npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", data)),
               "repeated");
  EXPECT_ERROR(read(npy("{'descr': '<f4'", data)), "comma");
  EXPECT_ERROR(read(npy("{'descr", data)), "plain string");
}

TEST_F(Npy, FullDiskAndForeignTypeAreErrors) {
  EXPECT_ERROR(write_npy("/dev/full", attn::io::to_array(std::vector<float>(3), {3})), "No space left");
  EXPECT_ERROR(write_npy(file, Array{DType::bf16, {1}, std::vector<std::byte>(2)}),
               "from BF16 to a type that numpy has");
  EXPECT_EQ(directory.entries(), 0);
}

}  // namespace
