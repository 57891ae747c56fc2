# Does all device code compile, on a machine without a GPU and with a Kokkos without CUDA? nvcc reads that Kokkos' headers
# behind an overlay of configuration headers that switch its CUDA backend on. The result is code that nobody runs.
#
# attn_add_cuda_check(SOURCE...): a target in `all` that compiles each source for sm_90, with the portable kernels of
#   attention alone: those for tensor cores are many. Of a .cu file, which unites many, only the device code is compiled, to
#   PTX and hardly optimised, which takes less than half of the time; a .cpp file becomes machine code, and goes through the
#   compiler of the host, too.
# attn_add_machine_code(SOURCE): also compiles SOURCE, for sm_80 and, with the kernels for Hopper, sm_90a, to
#   NAME.sm_*.cubin, and what ptxas says to NAME.sm_*.log. ATTN_MACHINE_CODE lists these files without their endings, for a test.
# attn_unite(VARIABLE NAME SOURCE...): appends to the list one file that includes the sources, each main() under a name of its
# own. nvcc takes a quarter of a minute to read Kokkos and its own headers, whatever follows.
option(ATTN_CHECK_CUDA "Compile device code with nvcc where there is one, even if Kokkos has no CUDA" ON)
find_program(ATTN_NVCC nvcc PATHS /usr/local/cuda/bin)
mark_as_advanced(ATTN_NVCC)

# Writes one header of the overlay: that of Kokkos, with one change for each pair (TEXT REPLACEMENT) that follows.
function(attn_overlay_header name)
  file(READ ${ATTN_KOKKOS_INCLUDE_DIR}/${name} text)
  while(ARGN)
    list(POP_FRONT ARGN from to)
    string(FIND "${text}" "${from}" position)
    if(position EQUAL -1)
      message(WARNING "CUDA check: ${name} has no '${from}'")
    endif()
    string(REPLACE "${from}" "${to}" text "${text}")
  endwhile()
  file(CONFIGURE OUTPUT ${ATTN_CUDA_OVERLAY}/${name} CONTENT "${text}" @ONLY)
endfunction()

function(attn_unite variable name)
  set(text)
  foreach(source IN LISTS ARGN)
    string(MAKE_C_IDENTIFIER ${source} id)
    string(APPEND text "#define main main_of_${id}\n#include \"${source}\"\n#undef main\n")
  endforeach()
  set(file ${CMAKE_CURRENT_BINARY_DIR}/${name}.cu)
  file(CONFIGURE OUTPUT ${file} CONTENT "${text}" @ONLY)
  set(${variable} ${${variable}} ${file} PARENT_SCOPE)
endfunction()

function(attn_add_cuda_check)
  if(NOT ATTN_CHECK_CUDA OR NOT ATTN_NVCC)
    message(STATUS "CUDA check: skipped, no nvcc, or ATTN_CHECK_CUDA is off")
    return()
  endif()
  message(STATUS "CUDA check: ${ATTN_NVCC}, code for sm_90")
  get_target_property(include_dirs Kokkos::kokkoscore INTERFACE_INCLUDE_DIRECTORIES)
  find_path(ATTN_KOKKOS_INCLUDE_DIR KokkosCore_config.h PATHS ${include_dirs} NO_DEFAULT_PATH NO_CACHE)
  set(ATTN_CUDA_OVERLAY ${CMAKE_CURRENT_BINARY_DIR}/overlay)

  set(macros KOKKOS_ENABLE_CUDA KOKKOS_ARCH_HOPPER KOKKOS_ARCH_HOPPER90)
  if(Kokkos_VERSION VERSION_LESS 5)
    list(APPEND macros KOKKOS_ENABLE_CUDA_LAMBDA)
  endif()
  set(changes)
  foreach(macro IN LISTS macros)
    list(APPEND changes "/* #undef ${macro} */" "#define ${macro}")
  endforeach()
  attn_overlay_header(KokkosCore_config.h ${changes})
  attn_overlay_header(desul/atomics/Config.hpp "/* #undef DESUL_ATOMICS_ENABLE_CUDA */" "#define DESUL_ATOMICS_ENABLE_CUDA")
  attn_overlay_header(KokkosCore_Config_DeclareBackend.hpp "#endif" "#include <decl/Kokkos_Declare_CUDA.hpp>\n#endif")
  attn_overlay_header(KokkosCore_Config_FwdBackend.hpp "#endif" "#include <fwd/Kokkos_Fwd_CUDA.hpp>\n#endif")
  attn_overlay_header(KokkosCore_Config_SetupBackend.hpp "#endif" "#include <setup/Kokkos_Setup_Cuda.hpp>\n#endif")

  set(flags ${CMAKE_CURRENT_BINARY_DIR}/flags.txt)
  attn_write_flags(${flags})
  # The flags of attn::native, as nvcc_wrapper hands them to the compiler of the host: headers of the compiler's own
  # intrinsics look different with them, and nvcc reads those, too.
  set(native)
  if(ATTN_NATIVE)
    set(native -Xcompiler=-march=native,-fno-math-errno,-ffp-contract=fast)
  endif()
  # Warnings that stand for errors: host code called on the device is code that does not exist there.
  # Eigen is for hosts alone here (cmake/Executables.cmake).
  set(command ${ATTN_NVCC} -DEIGEN_NO_CUDA -std=c++20 --extended-lambda --expt-relaxed-constexpr -x cu -ccbin ${CMAKE_CXX_COMPILER}
      -Werror cross-execution-space-call -Xcompiler=-fopenmp ${native} -I${ATTN_CUDA_OVERLAY} -I${PROJECT_SOURCE_DIR}/examples
      -I${PROJECT_SOURCE_DIR}/cmake --options-file ${flags} -DATTN_HAVE_CUBLAS)
  set(ATTN_CUDA_COMMAND "${command}" PARENT_SCOPE)
  set(fast)
  execute_process(COMMAND ${ATTN_NVCC} --help OUTPUT_VARIABLE help)
  if(help MATCHES "--Ofast-compile")  # since CUDA 12.9
    set(fast -Ofc=max)
  endif()
  set(objects)
  foreach(source IN LISTS ARGN)
    cmake_path(GET source FILENAME name)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
    set(parts -c ${fast})
    if(name MATCHES "\\.cu$")
      set(parts -ptx ${fast} -diag-suppress=940)  # main() under another name returns nothing
    endif()
    add_custom_command(OUTPUT ${object}
      COMMAND ${command} -arch=sm_90 -DATTN_CUDA_WIDTHS= -MD -MT ${object} -MF ${object}.d ${parts} ${source} -o ${object}
      DEPENDS ${source} ${flags} DEPFILE ${object}.d
      COMMENT "Compiling ${name} for sm_90" VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  add_custom_target(attn_cuda_check ALL DEPENDS ${objects})
endfunction()

function(attn_add_machine_code source)
  if(NOT TARGET attn_cuda_check)
    return()
  endif()
  cmake_path(GET source STEM name)
  set(outputs)
  set(files)
  foreach(arch IN ITEMS 80 90a)
    set(hopper)
    if(arch STREQUAL 90a)
      set(hopper -DATTN_CUDA_HOPPER)
    endif()
    set(file ${CMAKE_CURRENT_BINARY_DIR}/${name}.sm_${arch})
    add_custom_command(OUTPUT ${file}.cubin ${file}.log
      COMMAND sh -c "\"$@\" > \"$0\" 2>&1 || { cat \"$0\"; exit 1; }" ${file}.log
              ${ATTN_CUDA_COMMAND} ${hopper} -gencode=arch=compute_${arch},code=sm_${arch} -Xptxas=-v
              -MD -MT ${file}.cubin -MF ${file}.d -cubin ${source} -o ${file}.cubin
      DEPENDS ${source} ${CMAKE_CURRENT_BINARY_DIR}/flags.txt DEPFILE ${file}.d
      COMMENT "Compiling ${name} for sm_${arch}" VERBATIM)
    list(APPEND outputs ${file}.cubin)
    list(APPEND files ${file})
  endforeach()
  add_custom_target(attn_machine_code ALL DEPENDS ${outputs})
  list(JOIN files "," files)
  set(ATTN_MACHINE_CODE "${files}" PARENT_SCOPE)
endfunction()
