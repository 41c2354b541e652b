# Text files as constants of a program:
#   heft_embed(TARGET NAMESPACE OUTPUT FILE...)   each FILE a.b becomes  const std::string_view a_b,  declared in
#                                                 "OUTPUT.h"; TARGET gets the sources and the include path
# As a script (cmake -D INPUT=a.b -D NAME=a_b -D NAMESPACE=n -D OUTPUT=x.cpp -P) it writes one of them, when the file changes.
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ ${INPUT} bytes HEX)
  string(REGEX REPLACE "(................................................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
  file(WRITE ${OUTPUT} "#include <string_view>\n\nnamespace ${NAMESPACE} {\n"
                       "static const char bytes[] = {\n${bytes}0};\n"
                       "extern const std::string_view ${NAME};\n"
                       "const std::string_view ${NAME}(bytes, sizeof(bytes) - 1);\n}\n")
  return()
endif()

set(heft_embed_script ${CMAKE_CURRENT_LIST_FILE})
function(heft_embed target namespace output)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/embedded)
  set(declarations "")
  foreach(file IN LISTS ARGN)
    get_filename_component(name ${file} NAME)
    string(MAKE_C_IDENTIFIER ${name} name)
    add_custom_command(OUTPUT ${folder}/${name}.cpp DEPENDS ${file} ${heft_embed_script} VERBATIM
                       COMMAND ${CMAKE_COMMAND} -D INPUT=${CMAKE_CURRENT_SOURCE_DIR}/${file} -D NAME=${name}
                               -D NAMESPACE=${namespace} -D OUTPUT=${folder}/${name}.cpp -P ${heft_embed_script})
    target_sources(${target} PRIVATE ${folder}/${name}.cpp)
    string(APPEND declarations "extern const std::string_view ${name};\n")
  endforeach()
  file(CONFIGURE OUTPUT ${folder}/${output}.h @ONLY
       CONTENT "#pragma once\n\n#include <string_view>\n\nnamespace ${namespace} {\n${declarations}}\n")
  target_include_directories(${target} PRIVATE ${folder})
endfunction()
