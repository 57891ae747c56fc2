// How long libFuzzer runs a target: ATTN_FUZZ_SECONDS of the environment, a minute otherwise.
#include <cstdlib>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  char const* const asked = std::getenv("ATTN_FUZZ_SECONDS");
  static std::string option = std::string("-max_total_time=") + (asked != nullptr ? asked : "60");
  static std::vector<char*> all(*arguments, *arguments + *count);
  all.insert(all.begin() + 1, option.data());
  all.push_back(nullptr);
  *count = static_cast<int>(all.size()) - 1;
  *arguments = all.data();
  return 0;
}
