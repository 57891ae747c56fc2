/// Reads the machine code of kernels: which instructions they have, and how many a warp issues on its way through the
/// loop that multiplies.
///
/// A cubin is an ELF file with a section .text.NAME for each kernel. From sm_70 on an instruction has 16 bytes, the
/// lowest 12 bits of which name it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace attn_cuda {

template <class T>
T number_at(std::string const& bytes, std::uint64_t place) {
  T number;
  std::memcpy(&number, bytes.data() + place, sizeof number);
  return number;
}

struct Instruction {
  std::uint64_t low, high;
  std::uint64_t name() const { return low & 0xfff; }
  /// Whether a load or store of global memory moves 16 bytes.
  bool moves_16_bytes() const { return (high >> 9 & 7) == 6; }
};
using Code = std::vector<Instruction>;

// As nvdisasm names them. HGMMA: the left operand in shared memory, or in registers.
constexpr std::uint64_t ldg = 0x981, stg = 0x986, hmma = 0x23c, ldsm = 0x83b, hgmma = 0x9f0, hgmma_by_registers = 0xdf0,
                        utmaldg = 0x5b4, utmastg = 0x3b5, usetmaxreg = 0x9c8, bra = 0x947, bssy = 0x945, bsync = 0x941,
                        exit_ = 0x94d;

/// The code of each kernel.
inline std::map<std::string, Code> code_of(std::string const& elf) {
  std::map<std::string, Code> kernels;
  auto const table = number_at<std::uint64_t>(elf, 0x28);
  auto const entry_size = number_at<std::uint16_t>(elf, 0x3a), n_sections = number_at<std::uint16_t>(elf, 0x3c),
             names = number_at<std::uint16_t>(elf, 0x3e);
  auto const start_of = [&](std::uint64_t s) { return number_at<std::uint64_t>(elf, table + s * entry_size + 0x18); };
  for (std::uint64_t s = 0; s < n_sections; ++s) {
    std::string const name = elf.data() + start_of(names) + number_at<std::uint32_t>(elf, table + s * entry_size);
    if (name.rfind(".text.", 0) != 0) continue;
    auto const start = start_of(s), size = number_at<std::uint64_t>(elf, table + s * entry_size + 0x20);
    Code& code = kernels[name.substr(6)];
    for (std::uint64_t at = start; at < start + size; at += 16) {
      code.push_back({number_at<std::uint64_t>(elf, at), number_at<std::uint64_t>(elf, at + 8)});
    }
  }
  return kernels;
}

/// How often each instruction occurs.
using Counts = std::map<std::uint64_t, int>;
inline Counts count_instructions(Code const& code) {
  Counts counts;
  for (Instruction const& i : code) ++counts[i.name()];
  return counts;
}

/// What may follow each instruction.
inline std::vector<std::vector<int>> successors(Code const& code) {
  std::vector<std::vector<int>> all(code.size());
  std::map<std::uint64_t, int> meetings;  // where threads meet that part at BSSY
  for (std::size_t at = 0; at < code.size(); ++at) {
    Instruction const& i = code[at];
    int const next = int(at) + 1;
    bool const always = (i.low >> 12 & 15) == 7 && (i.high >> 23 & 15) == 7;  // the predicates of what may not happen
    if (i.name() == bra) {  // by a number of 4 bytes, whose lowest byte lies apart
      std::uint64_t const words = (i.low >> 34 | (i.high & 0x3ffff) << 30) << 8 | (i.low >> 16 & 0xff);
      all[at].push_back(next + int(std::int64_t(words << 8) >> 8) / 4);
    } else if (i.name() == bssy) {
      meetings[i.low >> 16 & 15] = next + int(std::int32_t(i.low >> 34 | (i.high & 3) << 30)) / 4;
    } else if (i.name() == bsync) {
      all[at].push_back(meetings[i.low >> 16 & 15]);
      continue;
    }
    if (!(always && (i.name() == bra || i.name() == exit_)) && std::size_t(next) < code.size()) all[at].push_back(next);
  }
  return all;
}

/// How many instructions a warp issues at least in a round of the smallest loop that has products, `least` or more,
/// doing all of the loop's products.
struct Way {
  int products = 0, instructions = 0;
};
inline Way way_through_products(Code const& code, int least = 1) {
  auto const is_product = [&](int i) {
    auto const name = code[std::size_t(i)].name();
    return name == hgmma || name == hgmma_by_registers;
  };
  auto const following = successors(code);
  int all = 0;
  for (int i = 0; i < int(code.size()); ++i) all += is_product(i);
  Way found;
  int smallest = int(code.size()) + 1;
  for (int latch = 0; latch < int(code.size()); ++latch) {
    for (int const head : following[std::size_t(latch)]) {
      if (head > latch || latch - head >= smallest) continue;
      // Breadth first, by instructions and products; no loop within, but parts of this one may lie behind its end.
      std::map<std::pair<int, int>, int> fewest{{{head, int(is_product(head))}, 1}};
      std::deque<std::pair<int, int>> next{{head, int(is_product(head))}};
      Way way;
      for (; !next.empty(); next.pop_front()) {
        auto const [at, products] = next.front();
        int const count = fewest[next.front()];
        if (at == latch) {
          if (products > way.products) way = {products, count};
          continue;
        }
        for (int const to : following[std::size_t(at)]) {
          std::pair<int, int> const there{to, products + is_product(to)};
          if (to > head && (to > at || at > latch) && there.second <= all &&
              fewest.try_emplace(there, count + 1).second)
            next.push_back(there);
        }
      }
      if (way.products < least) continue;
      found = way;
      smallest = latch - head;
    }
  }
  return found;
}

}  // namespace attn_cuda
