// What nvcc made of the tensor-core kernels, without a GPU: their machine code has matrix instructions, and ptxas
// reports that nothing spills and that it left the order of products as it is.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "machine_code.hpp"

namespace {

using namespace attn_cuda;

std::string read_file(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> files() {
  std::istringstream list(ATTN_MACHINE_CODE);
  std::vector<std::string> all;
  for (std::string file; std::getline(list, file, ',');) all.push_back(file);
  return all;
}

/// The lowest 8 bits name the operation; those above where its operands are.
constexpr std::uint64_t multiply = 0x20, add = 0x21, multiply_add = 0x23;
int all_of(Counts const& counts, std::uint64_t operation) {
  int sum = 0;
  for (auto const& [instruction, count] : counts) sum += (instruction & 0xff) == operation ? count : 0;
  return sum;
}

bool contains(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }
bool is_for_hopper(std::string const& kernel) { return contains(kernel, "cuda17run_hopper_kernel"); }
/// Of a kernel for Hopper.
bool is_of_tf32(std::string const& kernel) { return contains(kernel, "FormatE2ELi"); }
int width_of(std::string const& kernel) {
  for (int const width : {32, 64, 128}) {
    std::string const format = is_of_tf32(kernel) ? "FormatE2ELi" : "FormatE1ELi";
    if (contains(kernel, format + std::to_string(width) + "E")) return width;
  }
  return 256;
}
/// The keys of a tile of a forward kernel.
int streamed_of(std::string const& kernel) {
  int const width = width_of(kernel);
  if (is_of_tf32(kernel)) return width == 128 ? 32 : 64;
  return width == 256 ? 64 : 128;
}
bool is_ours(std::string const& kernel) { return contains(kernel, "cuda10run_kernel"); }

std::string what_it_makes(std::string const& kernel) {
  if (contains(kernel, "HopperForward")) return "out";
  if (contains(kernel, "PartE4E")) return "all gradients";
  if (contains(kernel, "PartE1E")) return "d_k and d_v";
  return contains(kernel, "PartE0E") ? "d_q" : contains(kernel, "PartE2E") ? "d_k" : "d_v";
}

TEST(MachineCode, EveryTensorCoreKernel_HasMatrixInstructions) {
  for (std::string const& file : files()) {
    int ours = 0;
    for (auto const& [kernel, code] : code_of(read_file(file + ".cubin"))) {
      Counts const counts = count_instructions(code);
      if (is_ours(kernel) && !contains(kernel, "RowFactsOfQueries")) {
        ++ours;
        // The smallest: 16 queries and keys of 64 numbers make 8 products of 16 x 8 x 16, and 8 more with the values.
        EXPECT_TRUE(counts.contains(hmma) && counts.at(hmma) >= 16) << file << ": " << kernel;
        EXPECT_TRUE(counts.contains(ldsm)) << file << ": " << kernel;
      } else {
        EXPECT_FALSE(counts.contains(hmma)) << "the portable kernels have none: " << kernel;
      }
    }
    EXPECT_GE(ours, 12) << file << ": forward and two backward kernels, two activations, at least two lengths";
  }
}

TEST(MachineCode, KernelsForHopper_MultiplyByWarpgroupsWhatTmaCopies) {
  int kernels = 0;
  for (std::string const& file : files()) {
    for (auto const& [kernel, code] : code_of(read_file(file + ".cubin"))) {
      if (!is_for_hopper(kernel)) continue;
      Counts counts = count_instructions(code);
      ++kernels;
      bool const forward = contains(kernel, "HopperForward"), of_values = contains(kernel, "PartE3E"),
                 of_all = contains(kernel, "PartE4E");
      int const width = width_of(kernel), sums = contains(kernel, "PartE1E") || of_all ? 2 : 1;
      int const rows = forward ? streamed_of(kernel) : width == 256 ? 32 : 64, parts = width == 256 ? 2 : 1;
      // 16 numbers at a time: scores of a first tile and of the others, sums of the last tile and of those before;
      // backward scores and, but for values, their gradients, one sum or two, and a product of nothing for the first
      // tile's sums. Of all gradients also those of queries, by 128 keys, from memory. Two sums of 128 columns leave no
      // registers for the next tile: first tiles and others are alike.
      // Own rows of tf32 are in registers, too, and it has 8 numbers at a time; two sums of it leave no registers
      // either.
      bool const tf32 = is_of_tf32(kernel), overlaps = sums == 1 || (!tf32 && width != 128);
      int const of_tiles = forward || of_values ? 2 * width / 16 : 4 * width / 16;
      int const of_memory = overlaps ? of_tiles + (forward ? 0 : 1) + (of_all ? 128 / 16 : 0) : of_tiles / 2;
      int const by_registers = (overlaps ? 2 : 1) * sums * parts * rows / 16;
      int const of_nothing = !forward && overlaps ? 1 : 0;
      int const of_tf32 = (overlaps ? 2 : 1) * ((forward ? 1 : 2) * width + sums * rows) / 8;
      EXPECT_EQ(counts[hgmma], tf32 ? of_nothing : of_memory) << kernel;
      EXPECT_EQ(counts[hgmma_by_registers], tf32 ? of_tf32 : by_registers) << kernel;
      EXPECT_GE(counts[utmaldg], 3) << "queries, keys and values: " << kernel;
      EXPECT_GE(counts[utmastg], 1) << kernel;
      EXPECT_EQ(counts[usetmaxreg], of_all ? 3 : 2) << "one warpgroup gives registers, or two, others take: " << kernel;
      if (!forward) continue;
      // A thread's half of the tile's scores, for the first tile and for the others, and the output's numbers once or
      // twice: s^3 is two multiplications, an exponential one multiply-add.
      int const scores = rows, slack = 32;
      if (contains(kernel, "Poly")) {
        EXPECT_LE(all_of(counts, multiply), 2 * scores + slack + width / 2) << kernel;
      } else {
        EXPECT_LE(all_of(counts, multiply_add), scores + slack) << kernel;
        EXPECT_LE(all_of(counts, add), scores + slack) << "the sum alone: " << kernel;
      }
    }
  }
  EXPECT_EQ(kernels, 40) << "two activations, forward and for queries with two and three warpgroups, and all "
                            "gradients; three narrow ones, seven wide ones and three with dropout of softmax; three "
                            "under masks, and two of the sigmoid; of tf32 four forward and six of gradients";
}

std::string name_of(std::string const& kernel) {
  std::string name = is_of_tf32(kernel) ? "tf32 " : "";
  name += contains(kernel, "Poly") ? "poly3 " : contains(kernel, "Sigmoid") ? "sigmoid " : "softmax ";
  name += std::to_string(width_of(kernel)) + " " + what_it_makes(kernel);
  if (contains(kernel, "AttentionDropout")) name += ", dropout";
  if (contains(kernel, "Window")) name += ", windows";
  if (contains(kernel, "Causal")) name += ", causal";
  return name;
}

// Where no mask cuts a tile: docs/gpu.md has the numbers, and these bounds a few per cent more.
TEST(MachineCode, LoopsOfKernelsForHopper_IssueFewInstructions) {
  std::map<std::string, int> const most{
      {"softmax 32 out", 475},
      {"softmax 64 out", 490},
      {"softmax 64 out, dropout", 990},
      {"softmax 128 out", 505},
      {"softmax 256 out", 485},
      {"poly3 64 out", 275},
      {"softmax 32 d_q", 275},
      {"softmax 64 d_q", 290},
      {"softmax 128 d_q", 335},
      {"softmax 256 d_q", 415},
      {"poly3 64 d_q", 250},
      {"softmax 32 d_k and d_v", 315},
      {"softmax 64 d_k and d_v", 330},
      {"softmax 64 d_k and d_v, dropout", 650},
      {"softmax 128 d_k and d_v", 385},
      {"softmax 128 d_k and d_v, dropout, windows", 695},
      {"softmax 256 d_k", 360},
      {"softmax 256 d_v", 220},
      {"poly3 64 d_k and d_v", 330},
      {"softmax 64 all gradients", 460},
      {"softmax 64 all gradients, dropout", 780},
      {"softmax 64 all gradients, windows", 460},
      {"sigmoid 64 all gradients, windows", 1110},
      {"sigmoid 64 all gradients, causal", 1080},
      {"poly3 64 all gradients", 405},
      {"poly3 64 all gradients, windows", 405},
      {"tf32 softmax 32 out", 330},
      {"tf32 softmax 64 out", 360},
      {"tf32 softmax 128 out", 315},
      {"tf32 poly3 64 out", 205},
      {"tf32 softmax 32 d_q", 350},
      {"tf32 softmax 64 d_q", 370},
      {"tf32 poly3 64 d_q", 340},
      {"tf32 softmax 32 d_k and d_v", 410},
      {"tf32 softmax 64 d_k and d_v", 430},
      {"tf32 poly3 64 d_k and d_v", 395},
  };
  for (std::string const& file : files()) {
    for (auto const& [kernel, code] : code_of(read_file(file + ".cubin"))) {
      if (!is_for_hopper(kernel)) continue;
      int const width = width_of(kernel);
      bool const forward = contains(kernel, "HopperForward"), of_values = contains(kernel, "PartE3E"),
                 of_all = contains(kernel, "PartE4E");
      Way const way = way_through_products(code, of_all ? 9 : 1);
      std::string const name = name_of(kernel);
      RecordProperty(name, way.instructions);
      if (of_all) {  // the warpgroup that adds gradients of queries has a loop of its own
        Way const adding = way_through_products(code);
        RecordProperty(name + ": sums of d_q", adding.instructions);
        EXPECT_EQ(adding.products, 8) << kernel;
        EXPECT_LE(adding.instructions, 165) << kernel;
      }
      // Scores of 16 columns at a time, 8 of tf32, backward their gradients, too; sums of as many rows.
      int const rows = forward ? streamed_of(kernel) : width == 256 ? 32 : 64, parts = width == 256 ? 2 : 1;
      int const scores = (forward || of_values ? 1 : 2) * width,
                sums = (of_all || contains(kernel, "PartE1E") ? 2 : 1) * parts * rows;
      EXPECT_EQ(way.products, (scores + sums) / (is_of_tf32(kernel) ? 8 : 16)) << kernel;
      ASSERT_TRUE(most.contains(name)) << name;
      EXPECT_LE(way.instructions, most.at(name)) << name << ": " << kernel;
      EXPECT_GE(way.instructions, most.at(name) / 2) << "the way is another: " << name << ": " << kernel;
    }
  }
}

// Of each operand, one load of 16 bytes for numbers stored as they are, and two of parameters in fp32 beside bf16; what
// else there is serves ends of rows and those that begin elsewhere.
TEST(MachineCode, WorkAroundAttention_Moves16BytesAtOnce) {
  struct Wanted {
    char const* kernel;
    int loads, narrow_loads, stores;
  };
  for (Wanted const wanted :
       {Wanted{"LayerNormForward", 5, 7, 1}, Wanted{"LayerNormBackward", 7, 9, 1}, Wanted{"LayerNormTerm", 2, 2, 0},
        Wanted{"Hidden", 2, 3, 2}, Wanted{"FinishRow", 3, 4, 1}, Wanted{"AdamWUpdate", 4, 0, 3}}) {
    for (std::string const& file : files()) {
      int kernels = 0;
      for (auto const& [kernel, code] : code_of(read_file(file + ".cubin"))) {
        if (!contains(kernel, wanted.kernel) || code.empty()) continue;
        ++kernels;
        int loads = 0, stores = 0;
        for (Instruction const& i : code) {
          loads += i.name() == ldg && i.moves_16_bytes() ? 1 : 0;
          stores += i.name() == stg && i.moves_16_bytes() ? 1 : 0;
        }
        EXPECT_GE(loads, contains(kernel, "Narrow") ? wanted.narrow_loads : wanted.loads) << file << ": " << kernel;
        EXPECT_GE(stores, wanted.stores) << file << ": " << kernel;
      }
      EXPECT_EQ(kernels, wanted.narrow_loads > 0 ? 2 : 1) << file << ": " << wanted.kernel;
    }
  }
}

// ptxas has codes for what it makes of warpgroups: products one after the other, fences of its own, registers that
// stay where they are.
TEST(MachineCode, PtxasTakesKernelsForHopperAsTheyAre) {
  for (std::string const& file : files()) {
    std::istringstream log(read_file(file + ".log"));
    for (std::string line; std::getline(log, line);) EXPECT_FALSE(contains(line, "(C7")) << line;
  }
}

TEST(MachineCode, NoTensorCoreKernel_Spills) {
  for (std::string const& file : files()) {
    std::istringstream log(read_file(file + ".log"));
    std::string kernel;
    int ours = 0;
    for (std::string line; std::getline(log, line);) {
      if (auto const at = line.find("Compiling entry function"); at != std::string::npos) kernel = line.substr(at);
      if (!contains(line, "spill stores") || (!is_ours(kernel) && !is_for_hopper(kernel))) continue;
      ++ours;
      EXPECT_TRUE(contains(line, " 0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"))
          << file << ": " << kernel << line;
    }
    EXPECT_GE(ours, 12) << file;
  }
}

}  // namespace
