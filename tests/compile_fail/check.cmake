# Is a mistake met with the sentence that the library promises?
#   cmake -DCOMPILER=... -DFLAGS=<semicolon list> -DSOURCE=file.cpp -P check.cmake
# The source states `// expected error: <sentence>`. With -DATTN_EXPECT_SUCCESS it must compile, so that it cannot fail
# for another reason; without, it must not, and the compiler's output must hold the sentence.
cmake_minimum_required(VERSION 3.25)
file(STRINGS ${SOURCE} expected REGEX "^// expected error: ")
string(REGEX REPLACE "^// expected error: *" "" expected "${expected}")
string(STRIP "${expected}" expected)
if(expected STREQUAL "")
  message(FATAL_ERROR "${SOURCE} has no line '// expected error: <sentence>'")
endif()

foreach(twin IN ITEMS right wrong)
  set(define)
  if(twin STREQUAL "right")
    set(define -DATTN_EXPECT_SUCCESS)
  endif()
  execute_process(COMMAND ${COMPILER} ${FLAGS} ${define} -fsyntax-only ${SOURCE}
                  RESULT_VARIABLE ${twin} OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(twin STREQUAL "right" AND right)
    message(FATAL_ERROR "With ATTN_EXPECT_SUCCESS it should compile, but:\n${output}")
  endif()
endforeach()

string(FIND "${output}" "${expected}" position)
if(NOT wrong)
  message(FATAL_ERROR "It compiles, but should stop with: ${expected}")
elseif(position EQUAL -1)
  message(FATAL_ERROR "It should stop with: ${expected}\nbut said:\n${output}")
endif()
