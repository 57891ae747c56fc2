#include "attn/io/safetensors.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "io/files.hpp"

namespace {

using namespace attn::testing;
using attn::io::DType;
using attn::io::Safetensors;
using attn::io::SafetensorsWriter;
using attn::io::Shape;

std::string file_of(std::uint64_t length, std::string const& header, std::string const& data) {
  std::string text(8, '\0');
  std::memcpy(text.data(), &length, 8);
  return text + header + data;
}
std::string file_of(std::string const& header, std::string const& data) { return file_of(header.size(), header, data); }

template <class T>
std::string bytes_of(std::vector<T> const& values) {
  return {reinterpret_cast<char const*>(values.data()), values.size() * sizeof(T)};
}

class SafetensorsFile : public ::testing::Test {
 protected:
  Safetensors open(std::string const& bytes) const {
    put(file, bytes);
    return Safetensors(file);
  }
  TemporaryDirectory directory;
  Path file = directory / "weights.safetensors";
};

TEST_F(SafetensorsFile, ReadsWhatThePythonLibraryWrote) {
  Safetensors const weights(Path(ATTN_GOLDEN_DIR) / "vit/weights.safetensors");
  std::vector<float> const bias = weights.get<float>("blocks.0.attn.qkv.bias", {72});
  std::vector<double> const wide = weights.get<double>("blocks.0.attn.qkv.bias", {72});
  EXPECT_EQ(weights.entry("blocks.1.mlp.fc1.weight").shape, (Shape{96, 24}));
  for (std::size_t i = 0; i < 72; ++i) {
    EXPECT_NE(bias[i], 0.0f);
    EXPECT_EQ(static_cast<double>(bias[i]), wide[i]);
  }
}

TEST_F(SafetensorsFile, RewritingThePythonLibrarysFileKeepsEveryTensor) {
  Safetensors const golden(Path(ATTN_GOLDEN_DIR) / "vit/weights.safetensors");
  std::map<std::string, attn::io::Array> arrays;
  SafetensorsWriter writer;
  for (auto const& [name, entry] : golden.tensors()) {
    writer.add(name, arrays.emplace(name, golden.array(name)).first->second);
  }
  writer.write(file);
  Safetensors const copy(file);
  ASSERT_EQ(copy.tensors().size(), golden.tensors().size());
  for (auto const& [name, array] : arrays) {
    EXPECT_EQ(copy.entry(name).shape, array.shape);
    EXPECT_EQ(copy.array(name).bytes, array.bytes);
  }
}

TEST_F(SafetensorsFile, EveryTypeRoundTripsAligned) {
  std::vector<float> const f32 = {1.5f, -0.1f, std::numeric_limits<float>::infinity()};
  std::vector<double> const f64 = {0.1};
  std::vector<std::uint64_t> const step = {std::numeric_limits<std::uint64_t>::max()};
  std::vector<std::int64_t> const signed_step = {std::numeric_limits<std::int64_t>::min()};
  std::vector<std::uint8_t> const bytes = {1, 2, 255};
  std::vector<std::int32_t> const ints = {-7};
  bool const flags[] = {true, false};
  std::vector<std::uint16_t> const half = {0x3c00};
  SafetensorsWriter writer;
  writer.metadata = {{"epoch", "3"}, {"settings", "{\"power\": 3}\n\xc3\xa9"}};
  writer.add("bytes", {3}, bytes.data());
  writer.add("f32", {3, 1}, f32.data());
  writer.add("empty", {0, 5}, f32.data());
  writer.add("scalar", {}, f64.data());
  writer.add("step", {1}, step.data());
  writer.add("signed", {1}, signed_step.data());
  writer.add("ints", {1}, ints.data());
  writer.add("flags", {2}, flags);
  writer.add_bytes("half", DType::f16, {1}, reinterpret_cast<std::byte const*>(half.data()));
  writer.add_bytes("bfloat", DType::bf16, {1}, reinterpret_cast<std::byte const*>(half.data()));
  writer.write(file);

  Safetensors const read(file);
  EXPECT_EQ(read.metadata(), writer.metadata);
  EXPECT_EQ(read.get<float>("f32", {3, 1}), f32);
  EXPECT_EQ(read.get<double>("scalar", {}), f64);
  EXPECT_EQ(read.get<std::uint64_t>("step", {1}), step);
  EXPECT_EQ(read.get<std::int64_t>("signed", {1}), signed_step);
  EXPECT_EQ(read.get<std::uint8_t>("bytes", {3}), bytes);
  EXPECT_EQ(read.get<std::int32_t>("ints", {1}), ints);
  EXPECT_EQ(read.get<std::uint8_t>("flags", {2}), (std::vector<std::uint8_t>{1, 0}));
  EXPECT_EQ(read.get<float>("half", {1}), std::vector<float>{1});
  EXPECT_EQ(read.get<float>("bfloat", {1}), std::vector<float>{0.0078125f});
  EXPECT_TRUE(read.get<float>("empty", {0, 5}).empty());
  EXPECT_FALSE(read.contains("other"));
  for (auto const& [name, entry] : read.tensors()) {
    auto const address = reinterpret_cast<std::uintptr_t>(read.bytes(name).data());
    EXPECT_EQ(address % attn::io::size_of(entry.dtype), 0u) << name;
  }
}

TEST_F(SafetensorsFile, NoTensorsAndPaddedHeadersAreInOrder) {
  EXPECT_TRUE(open(file_of("{}", "")).tensors().empty());
  EXPECT_EQ(open(file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   )", "x")).tensors().size(), 1u);
  SafetensorsWriter().write(file);
  EXPECT_TRUE(Safetensors(file).tensors().empty());
}

TEST_F(SafetensorsFile, WrongNameShapeOrTypeIsNamed) {
  std::vector<float> const values(6);
  std::vector<std::int64_t> const integers(2);
  SafetensorsWriter writer;
  writer.add("blocks.0.attn.qkv.weight", {2, 3}, values.data());
  writer.add("head.bias", {2}, integers.data());
  writer.write(file);
  Safetensors const read(file);
  std::string const where = "Safetensors: '" + file.string() + "' ";
  EXPECT_ERROR(read.get<float>("blocks.0.attn.qkv.weigth", {2, 3}),
               where + "has no tensor 'blocks.0.attn.qkv.weigth' among its 2; did you mean blocks.0.attn.qkv.weight?");
  EXPECT_ERROR(read.get<float>("blocks.0.attn.qkv.weight", {3, 2}),
               where + "holds 'blocks.0.attn.qkv.weight' with shape (2, 3), but shape (3, 2) is needed");
  EXPECT_ERROR(read.get<float>("blocks.0.attn.qkv.weight", {6}), "but shape (6) is needed");
  EXPECT_ERROR(read.get<float>("head.bias", {2}),
               "'head.bias' in '" + file.string() + "' has type I64, but floating-point");
}

TEST_F(SafetensorsFile, BrokenHeadersAreErrors) {
  std::string const text = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  std::string const data(8, 'x');
  EXPECT_NO_THROW(open(file_of(text, data)));
  EXPECT_ERROR(Safetensors(directory / "none"), "No such file");
  EXPECT_ERROR(open(""), "too short");
  EXPECT_ERROR(open("1234567"), "too short for a .safetensors file (7 bytes)");
  EXPECT_ERROR(open(file_of(std::uint64_t(1) << 62, text, data)), "its header would have 4611686018427387904 bytes");
  EXPECT_ERROR(open(file_of(std::uint64_t(-1), text, data)), "its header would have 18446744073709551615 bytes");
  EXPECT_ERROR(open(file_of(100'000'001, text, data)), "more than the 100000000");
  EXPECT_ERROR(open(file_of(text.size() + 9, text, data)), "reaches beyond the");
  EXPECT_ERROR(open(file_of(0, "", data)), "does not start with '{'");
  EXPECT_ERROR(open(file_of(" " + text, data)), "does not start with '{'");
  EXPECT_ERROR(open(file_of("{\"a\":", "")), "its header is not JSON");
  EXPECT_ERROR(open(file_of(text + "}", data)), "its header is not JSON");
  EXPECT_ERROR(open(file_of("{\"\xff\":1}", "")), "its header is not JSON");
  EXPECT_ERROR(open(file_of("{" + std::string(100'000, '['), "")), "not JSON");
  EXPECT_ERROR(open(file_of("{\"a\":" + std::string(100'000, '['), "")), "its header is nested 128 deep");
  EXPECT_ERROR(open(file_of(R"({"x":5e5455})", "")), "its header holds a number that is too large");
  EXPECT_ERROR(open(file_of(text + std::string(1, '\0'), data)), "its header holds a zero byte, at byte 54 of 55");
  EXPECT_ERROR(open(file_of(text + std::string(" \0 }", 4), data)), "its header holds a zero byte");
}

TEST_F(SafetensorsFile, WrongDescriptionsAreErrors) {
  std::string const data(8, 'x');
  auto const entry = [&](std::string const& description) { return open(file_of("{\"a\":" + description + "}", data)); };
  EXPECT_ERROR(entry("3"), "must describe 'a' by dtype, shape and data_offsets");
  EXPECT_ERROR(entry(R"({"dtype":"F32","shape":[2]})"), "must describe 'a'");
  EXPECT_ERROR(entry(R"({"dtype":"F31","shape":[2],"data_offsets":[0,8]})"), "gives 'a' the type F31; save it as");
  EXPECT_ERROR(entry(R"({"dtype":[[[]]],"shape":[2],"data_offsets":[0,8]})"), "gives 'a' the type that is no text");
  EXPECT_ERROR(entry(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"),
               "shape of 'a' that is not a list of counts");
  EXPECT_ERROR(entry(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})"), "not a list of counts");
  EXPECT_ERROR(entry(R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})"), "not a list of counts");
  EXPECT_ERROR(entry(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"), "'a' of shape (3) and type F32 8 bytes");
  EXPECT_ERROR(entry(R"({"dtype":"F64","shape":[2],"data_offsets":[0,8]})"), "which do not fit");
  EXPECT_ERROR(entry(R"({"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]})"), "which do not fit");
  EXPECT_ERROR(entry(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"), "a begin and an end after it");
  EXPECT_ERROR(entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0]})"), "a begin and an end after it");
  EXPECT_ERROR(entry(R"({"dtype":"F32","shape":[2],"data_offsets":[-8,0]})"), "data_offsets of 'a' that is not a list");
  EXPECT_ERROR(entry(R"({"dtype":"F32","shape":[4],"data_offsets":[0,16]})"), "'a' ends at byte 16 of 8");
  EXPECT_ERROR(entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]})"), "'a' ends at byte");
  EXPECT_ERROR(open(file_of(R"({"__metadata__":3})", "")), "__metadata__ that is not an object");
  EXPECT_ERROR(open(file_of(R"({"__metadata__":{"a":3}})", "")), "'a' is not text");
}

// What the format's own library, version 0.8, takes and refuses was tried on the same files.
TEST_F(SafetensorsFile, WhatTheFormatsOwnLibraryTakesIsTaken) {
  auto const good = [&](std::string const& more, std::string const& top = "") {
    return open(file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8])" + more + "}" + top + "}",
                        bytes_of<float>({1, 2})))
        .get<float>("a", {2});
  };
  std::vector<float> const values = {1, 2};
  EXPECT_EQ(good("", R"(,"__metadata__":null)"), values);
  EXPECT_EQ(good(R"(,"extra":1)"), values);
  EXPECT_EQ(good(R"(,"extra":{"y":[1,{"z":null}],"dtype":3})"), values);
  EXPECT_EQ(good(R"(,"small":-1.5e-999,"large":99999999999999999999999999)"), values);
  EXPECT_EQ(good(",\"deep\":" + std::string(100, '[') + std::string(100, ']')), values);
  EXPECT_ERROR(good(",\"deep\":" + std::string(200, '[') + std::string(200, ']')), "nested");
  EXPECT_ERROR(good(R"(,"extra":5e5455)"), "too large");
  EXPECT_TRUE(open(file_of("{}\n\t\r ", "")).tensors().empty());
  EXPECT_EQ(
      open(file_of(R"({"":{"dtype":"U8","shape":[0,4611686018427387904],"data_offsets":[0,0]}})", "")).tensors().size(),
      1u);
}

TEST_F(SafetensorsFile, TypesThatCannotBeReadDoNotHinderTheOthers) {
  std::string const header =
      R"({"a":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]},)"
      R"("c":{"dtype":"C64","shape":[],"data_offsets":[4,12]},"d":{"dtype":"F4","shape":[4],"data_offsets":[12,14]}})";
  Safetensors const read = open(file_of(header, std::string(14, 'x')));
  EXPECT_EQ(read.tensors().size(), 1u);
  EXPECT_EQ(read.get<std::uint8_t>("b", {1}), std::vector<std::uint8_t>{'x'});
  EXPECT_ERROR(read.get<float>("a", {3}), "'" + file.string() + "' holds 'a' as F8_E4M3, which cannot be read; save");
  EXPECT_ERROR(open(file_of(header, std::string(13, 'x'))), "'d' ends at byte 14 of 13");
  EXPECT_ERROR(open(file_of(R"({"d":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", "xy")), "which do not fit");
}

TEST_F(SafetensorsFile, FlagsAreReadAsBool) {
  bool const flags[] = {true, false, true};
  std::uint8_t const bytes[] = {1, 2};
  SafetensorsWriter writer;
  writer.add("flags", {3}, flags);
  writer.add("bytes", {2}, bytes);
  writer.write(file);
  Safetensors const read(file);
  EXPECT_EQ(read.get<bool>("flags", {3}), (std::vector<bool>{true, false, true}));
  EXPECT_EQ(read.array("flags").as<bool>(), (std::vector<bool>{true, false, true}));
  EXPECT_ERROR(read.get<bool>("bytes", {2}), "holds 2 at element 1, which does not fit BOOL");
}

TEST_F(SafetensorsFile, OverlapsGapsAndRepeatedNamesAreErrors) {
  std::string const data(12, 'x');
  auto const f32 = [](std::string const& name, int begin, int end) {
    return "\"" + name + "\":{\"dtype\":\"F32\",\"shape\":[" + std::to_string((end - begin) / 4) +
           "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
  };
  auto const two = [&](std::string const& a, std::string const& b) {
    return open(file_of("{" + a + "," + b + "}", data));
  };
  EXPECT_NO_THROW(two(f32("b", 4, 12), f32("a", 0, 4)));
  EXPECT_ERROR(two(f32("a", 0, 8), f32("b", 4, 12)), "tensors that overlap: 'b' begins at byte 4");
  EXPECT_ERROR(two(f32("a", 0, 12), f32("b", 0, 12)), "overlap");
  EXPECT_ERROR(two(f32("a", 0, 4), f32("b", 8, 12)), "a gap of 4 bytes in front of 'b'");
  EXPECT_ERROR(two(f32("a", 4, 8), f32("b", 8, 12)), "a gap of 4 bytes in front of 'a'");
  EXPECT_ERROR(two(f32("a", 0, 4), f32("b", 4, 8)), "has 4 bytes after its last tensor");
  EXPECT_ERROR(two(f32("a", 0, 4), f32("a", 4, 12)), "names 'a' twice");
  EXPECT_ERROR(open(file_of(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x")),
               "names 'dtype' twice");
}

TEST_F(SafetensorsFile, EveryTruncationOfAGoodFileIsAnError) {
  std::vector<float> const values(5, 1.0f);
  SafetensorsWriter writer;
  writer.metadata = {{"k", "v"}};
  writer.add("a", {5}, values.data());
  writer.write(file);
  std::string const whole = content(file);
  Path const cut = directory / "cut";
  for (std::size_t n = 0; n < whole.size(); ++n) {
    put(cut, std::string_view(whole).substr(0, n));
    EXPECT_THROW(Safetensors{cut}, attn::Error) << n;
  }
  put(cut, whole + "x");
  EXPECT_THROW(Safetensors{cut}, attn::Error);
}

// A checkpoint of Broyden's method has more. Time in the square of their number would be half a minute.
TEST_F(SafetensorsFile, FilesOfManyTensorsAreRead) {
  int const count = 30'000;
  std::vector<float> values(count);
  SafetensorsWriter writer;
  for (int i = 0; i < count; ++i) {
    values[std::size_t(i)] = float(i);
    writer.add("tensor " + std::to_string(i), {1}, &values[std::size_t(i)]);
  }
  writer.write(file);
  Safetensors const read(file);
  EXPECT_EQ(read.tensors().size(), std::size_t(count));
  EXPECT_EQ(read.get<float>("tensor 29999", {1}), std::vector<float>{29999});
}

TEST_F(SafetensorsFile, WriterRefusesRepeatedNames) {
  float const value = 1;
  SafetensorsWriter writer;
  writer.add("a", {1}, &value);
  EXPECT_ERROR(writer.add("a", {1}, &value), "add 'a' once");
  EXPECT_ERROR(writer.add("__metadata__", {1}, &value), "choose another name");
}

TEST_F(SafetensorsFile, FullDiskKeepsTheCheckpointBefore) {
  std::vector<float> const good(100, 1.0f), big(100'000, 2.0f);
  SafetensorsWriter first, second;
  first.add("a", {100}, good.data());
  first.write(file);
  second.add("a", {100'000}, big.data());
  {
    FileSizeLimit const limit(50'000);
    EXPECT_ERROR(second.write(file), "cannot write '" + file.string() + "'");
  }
  EXPECT_EQ(Safetensors(file).get<float>("a", {100}), good);
  EXPECT_EQ(directory.entries(), 1);
}

}  // namespace
