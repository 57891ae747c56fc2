# Installs the build tree BUILD, moves what came to PREFIX, and leaves the package files of a version 0.2.0 in NEXT.
file(REMOVE_RECURSE ${PREFIX} ${PREFIX}.installed ${NEXT})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX}.installed COMMAND_ERROR_IS_FATAL ANY
                OUTPUT_QUIET)
file(RENAME ${PREFIX}.installed ${PREFIX})
file(GLOB_RECURSE config ${PREFIX}/*/attnConfigVersion.cmake)
cmake_path(GET config PARENT_PATH folder)
file(COPY ${folder} DESTINATION ${NEXT}/lib/cmake)
file(READ ${config} text)
string(REPLACE "0.1.0" "0.2.0" text "${text}")
file(WRITE ${NEXT}/lib/cmake/attn/attnConfigVersion.cmake "${text}")
