# How does a compiler that CMake does not drive see attn::attn?
# attn_write_flags(FILE): include paths and definitions of attn::attn, one a line, for a response file.
function(attn_write_flags file)
  # Naming a system folder again would move it ahead of the compiler's own and break <cstdlib> and its kind.
  list(JOIN CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES "|" system)
  string(REPLACE "+" "[+]" system "${system}")
  set(includes "$<REMOVE_DUPLICATES:$<FILTER:$<TARGET_PROPERTY:attn,INTERFACE_INCLUDE_DIRECTORIES>,EXCLUDE,^(${system})$>>")
  set(others "$<FILTER:${includes},EXCLUDE,^${PROJECT_SOURCE_DIR}/include>")
  set(definitions "$<REMOVE_DUPLICATES:$<TARGET_PROPERTY:attn,INTERFACE_COMPILE_DEFINITIONS>>")
  file(GENERATE OUTPUT ${file} CONTENT
       "-I\"${PROJECT_SOURCE_DIR}/include\"\n-isystem \"$<JOIN:${others},\"\n-isystem \">\"\n-D$<JOIN:${definitions},\n-D>\n")
endfunction()
