# An OpenMP that the thread sanitizer understands. GCC's runtime synchronises by futexes that the sanitizer does not see,
# so that every parallel loop would look like a race. LLVM's has GCC's entry points, too, and a tool, Archer, that tells the
# sanitizer of forks, joins and barriers. It takes the place of libgomp.so.1 for the project's own executables, the
# compiled Kokkos included: DT_RPATH of the executable is searched first.
set(tools ${PROJECT_BINARY_DIR}/openmp)
file(MAKE_DIRECTORY ${tools})
foreach(library IN ITEMS omp archer)
  file(GLOB found /usr/lib/llvm-*/lib/lib${library}.so)
  list(SORT found COMPARE NATURAL)
  list(GET found -1 ATTN_LIB_${library})
endforeach()
file(CREATE_LINK ${ATTN_LIB_omp} ${tools}/libgomp.so.1 SYMBOLIC)
string(APPEND CMAKE_EXE_LINKER_FLAGS " -Wl,--disable-new-dtags -Wl,-rpath,${tools}")

set(ATTN_TSAN_ENVIRONMENT
  OMP_TOOL_LIBRARIES=${ATTN_LIB_archer}
  "TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1:suppressions=${PROJECT_SOURCE_DIR}/tests/threads/suppressions.txt")
