#include "attn/data/gzip.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <string>
#include <vector>

#include "io/files.hpp"

namespace {

using namespace attn::testing;
using attn::data::read_content;
using attn::data::with_or_without_gz;

std::string gzip(std::string const& text) {
  z_stream stream{};
  ::deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(::deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

std::string noise(std::size_t n) {
  std::string text(n, '\0');
  unsigned state = 1;
  for (char& c : text) c = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
  return text;
}

class Gzip : public ::testing::Test {
 protected:
  std::string read(std::string const& bytes, char const* name = "data.gz") const {
    put(directory / name, bytes);
    auto const content = read_content(directory / name);
    return {content.begin(), content.end()};
  }
  TemporaryDirectory directory;
};

TEST_F(Gzip, ContentIsTheSameCompressedOrNot) {
  for (std::size_t const n : {1u, 7u, 4095u, 4096u, 4097u, 300'001u}) {
    std::string const text = noise(n);
    EXPECT_EQ(read(gzip(text)), text);
    EXPECT_EQ(read(gzip(text), "data"), text) << "the name does not matter to gzip data";
    EXPECT_EQ(read(text, "data"), text);
  }
  std::string const zeros(5'000'000, '\0');  // compresses a thousandfold
  EXPECT_EQ(read(gzip(zeros)), zeros);
  EXPECT_EQ(read(gzip("")), "");
}

TEST_F(Gzip, SeveralMembersAndZeroPaddingAreOneContent) {
  EXPECT_EQ(read(gzip("first ") + gzip("second")), "first second");
  EXPECT_EQ(read(gzip("first") + std::string(512, '\0')), "first");
  std::string const text = noise(100'000);
  EXPECT_EQ(read(gzip(text) + gzip(text)), text + text);
}

TEST_F(Gzip, EveryTruncationIsAnError) {
  std::string const whole = gzip(noise(300));
  for (std::size_t n = 1; n < whole.size(); ++n) {
    EXPECT_THROW(read(whole.substr(0, n)), attn::Error) << n;
  }
  EXPECT_ERROR(read(whole.substr(0, whole.size() - 1)), "it is truncated (" + std::to_string(whole.size() - 1));
  EXPECT_ERROR(read(whole.substr(0, 100)), "'" + (directory / "data.gz").string() + "' again, it is truncated");
}

TEST_F(Gzip, EveryChangedByteOfTheContentIsAnError) {
  std::string const whole = gzip(noise(300));
  for (std::size_t i = 10; i < whole.size(); ++i) {  // behind the header, whose time and system mean nothing
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 4);
    EXPECT_THROW(read(changed), attn::Error) << i;
  }
  std::string wrong_crc = whole;
  wrong_crc[whole.size() - 8] ^= 1;
  EXPECT_ERROR(read(wrong_crc), "it is corrupt after 300 bytes (incorrect data check)");
  EXPECT_ERROR(read(whole + "garbage"), "it is corrupt");
}

TEST_F(Gzip, NamesTheFileAndTheProblem) {
  EXPECT_ERROR(read_content(directory / "none"),
               "read_bytes: cannot open '" + (directory / "none").string() + "': No such file");
  EXPECT_ERROR(read_content(directory.path()), "Is a directory");
  EXPECT_ERROR(read("hello"), "it is not in gzip format");
  EXPECT_ERROR(read("", "data"), "it is empty");
  EXPECT_ERROR(attn::data::decompress({'x', 'y'}, "name"), "'name' is not in gzip format");
}

TEST_F(Gzip, WhatCouldFillTheMemoryIsRefused) {
  std::string const zeros(1'000'000, '\0');
  put(directory / "zeros.gz", gzip(zeros));
  put(directory / "zeros", zeros);
  EXPECT_EQ(read_content(directory / "zeros.gz", zeros.size()).size(), zeros.size());
  EXPECT_EQ(read_content(directory / "zeros", zeros.size()).size(), zeros.size());
  EXPECT_ERROR(read_content(directory / "zeros.gz", zeros.size() - 1), "holds more, inflated, than the 999999 bytes");
  EXPECT_ERROR(read_content(directory / "zeros", zeros.size() - 1), "has 1000000 bytes, there is room for 999999");
  EXPECT_ERROR(read_content(directory / "zeros.gz", 100), "there is room for 100");
  put(directory / "twice.gz", gzip(gzip(zeros)));
  EXPECT_LT(read_content(directory / "twice.gz").size(), 10'000u) << "what is compressed within is left so";
  std::filesystem::resize_file(directory / "zeros", std::uintmax_t(1) << 42);
  EXPECT_ERROR(read_content(directory / "zeros"), "has 4398046511104 bytes");
  EXPECT_ERROR(read_content("/dev/zero"), "'/dev/zero' is a device");
}

TEST_F(Gzip, SuffixIsOptional) {
  put(directory / "a.gz", "x");
  put(directory / "b", "x");
  EXPECT_EQ(with_or_without_gz(directory / "a"), directory / "a.gz");
  EXPECT_EQ(with_or_without_gz(directory / "a.gz"), directory / "a.gz");
  EXPECT_EQ(with_or_without_gz(directory / "b.gz"), directory / "b");
  EXPECT_EQ(with_or_without_gz(directory / "c"), directory / "c");
}

}  // namespace
