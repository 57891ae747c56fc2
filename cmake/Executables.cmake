# How are the project's own executables compiled? Flags stay out of attn::attn, whose users choose their own.
add_library(attn_own_flags INTERFACE)
target_link_libraries(attn_own_flags INTERFACE attn::attn)
target_compile_options(attn_own_flags INTERFACE
  $<$<CXX_COMPILER_ID:GNU,Clang>:-Wall -Wextra -fno-math-errno -ffp-contract=fast>
  $<$<BOOL:${ATTN_WERROR}>:-Werror>
  $<$<AND:$<BOOL:${ATTN_NATIVE}>,$<CXX_COMPILER_ID:GNU,Clang>>:-march=native>)
