/// MemoryPlan: what a run would take, before it begins, and whether this machine has it.
#pragma once

#include "attn/core/check.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace attn::io {

/// Bytes that this process may have: of the machine, of its control group, of the shell's limits, whichever is least.
inline double memory_of_machine() {
  double bytes = double(::sysconf(_SC_PHYS_PAGES)) * double(::sysconf(_SC_PAGESIZE));
  double group = 0;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> group && group > 0) bytes = std::min(bytes, group);
  for (auto const resource : {RLIMIT_AS, RLIMIT_RSS}) {  // ulimit -v, and -m, which the system does not enforce
    struct ::rlimit limit {};
    if (::getrlimit(resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
      bytes = std::min(bytes, double(limit.rlim_cur));
    }
  }
  return bytes;
}

/// "1.5 GB".
inline std::string bytes_text(double bytes) {
  char const* const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  std::size_t unit = 0;
  for (; bytes >= 999.5 && unit + 1 < std::size(units); ++unit) bytes /= 1000;
  char text[32];
  std::snprintf(text, sizeof text, "%.*f %s", bytes < 9.95 && unit > 0 ? 1 : 0, bytes, units[unit]);
  return text;
}

/// A sum of estimates. Each is made from sizes alone, in floating point, so that no size is too large to be refused.
class MemoryPlan {
 public:
  void add(std::string what, double bytes) { parts_.emplace_back(std::move(what), bytes); }
  void add(MemoryPlan const& other) { parts_.insert(parts_.end(), other.parts_.begin(), other.parts_.end()); }

  double total() const {
    double sum = 0;
    for (auto const& [_, bytes] : parts_) sum += bytes;
    return sum;
  }

  /// "about 4.2 GB of memory (parameters 1.1 GB, activations 3.1 GB)"; what takes little is left out.
  std::string text() const {
    std::string list;
    for (auto const& [what, bytes] : parts_) {
      if (bytes >= 0.02 * total()) list += (list.empty() ? "" : ", ") + what + " " + bytes_text(bytes);
    }
    return "about " + bytes_text(total()) + " of memory (" + list + ")";
  }

  /// Throws where the machine has less, unless the user insists; says it on the standard error where it is much.
  void check(bool insist, double available = memory_of_machine()) const {
    ATTN_CHECK(insist || total() <= available, "this run would take ", text(), ", this machine has ",
               bytes_text(available), "; choose smaller sizes, or insist with --insist");
    if (total() > 2e9) std::cerr << "this run takes " << text() << std::endl;
  }

 private:
  std::vector<std::pair<std::string, double>> parts_;
};

}  // namespace attn::io
