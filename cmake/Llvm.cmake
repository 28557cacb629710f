# The target effnetc_llvm, LLVM's C interface, where EFFNETC_LLVM asks for it and it is found: by
# llvm-config, the newest first.
if(NOT EFFNETC_LLVM)
  return()
endif()

function(llvm_is_new_enough result path)
  execute_process(COMMAND "${path}" --version OUTPUT_VARIABLE version RESULT_VARIABLE code
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  execute_process(COMMAND "${path}" --includedir OUTPUT_VARIABLE include
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT code EQUAL 0 OR version VERSION_LESS 16 OR NOT EXISTS "${include}/llvm-c/Core.h")
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()

set(names "")
foreach(version RANGE 30 16 -1)
  list(APPEND names llvm-config-${version})
endforeach()
find_program(EFFNETC_LLVM_CONFIG NAMES ${names} llvm-config NAMES_PER_DIR
  VALIDATOR llvm_is_new_enough DOC "llvm-config of LLVM 16 or later")
if(NOT EFFNETC_LLVM_CONFIG)
  if(EFFNETC_LLVM STREQUAL AUTO)
    message(STATUS "No LLVM 16 or later: no native code")
    return()
  endif()
  message(FATAL_ERROR "EFFNETC_LLVM=ON needs LLVM 16 or later (Debian: llvm-19-dev); "
    "EFFNETC_LLVM_CONFIG can name its llvm-config")
endif()

function(llvm_config result)
  execute_process(COMMAND "${EFFNETC_LLVM_CONFIG}" ${ARGN} OUTPUT_VARIABLE text
    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  set(${result} "${text}" PARENT_SCOPE)
endfunction()
llvm_config(version --version)
llvm_config(include --includedir)
llvm_config(folder --libdir)
llvm_config(libraries --link-shared --libs)
separate_arguments(libraries)

message(STATUS "LLVM ${version}: ${EFFNETC_LLVM_CONFIG}")
add_library(effnetc_llvm INTERFACE)
target_include_directories(effnetc_llvm SYSTEM INTERFACE "${include}")
target_link_directories(effnetc_llvm INTERFACE "${folder}")
target_link_libraries(effnetc_llvm INTERFACE ${libraries})
