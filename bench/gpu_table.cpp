// Tables of what bench/on_gpu.sh measured:  gpu_table DIR
#include "gpu_table.hpp"

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2 || !std::filesystem::is_directory(argv[1])) {
    std::cerr << "gpu_table: give the folder that on_gpu.sh wrote to\n";
    return 2;
  }
  bench::GpuTable(argv[1]).write(std::cout);
}
