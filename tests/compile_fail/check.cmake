# Is a mistake met with the sentence that the library promises?
#   cmake -DCOMPILER=... -DFLAGS=<semicolon list> -DSOURCE=file.cpp -P check.cmake
# The source states `// expected error: <sentence>`, once or several times. With -DATTN_EXPECT_SUCCESS it must compile,
# so that it cannot fail for another reason; without, it must not, and the compiler's output must hold each sentence.
cmake_minimum_required(VERSION 3.25)
file(STRINGS ${SOURCE} expected REGEX "^// expected error: ")
list(TRANSFORM expected REPLACE "^// expected error: *" "")
list(TRANSFORM expected STRIP)
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

if(NOT wrong)
  message(FATAL_ERROR "It compiles, but should stop with: ${expected}")
endif()
foreach(sentence IN LISTS expected)
  string(FIND "${output}" "${sentence}" position)
  if(position EQUAL -1)
    message(FATAL_ERROR "It should stop with: ${sentence}\nbut said:\n${output}")
  endif()
endforeach()
