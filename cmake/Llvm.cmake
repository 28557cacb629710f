# The target effnetc_llvm, LLVM's C interface, where EFFNETC_LLVM asks for it and it is found: by
# llvm-config, the newest first.
if(NOT EFFNETC_LLVM)
  return()
endif()
include(CheckCSourceCompiles)

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

# What code generation needs of LLVM's components: of targets, those of target/archs.def.
function(llvm_components result)
  file(STRINGS "${CMAKE_CURRENT_SOURCE_DIR}/target/archs.def" rows REGEX "^ARCH")
  set(names orcjit passes)
  foreach(row IN LISTS rows)
    string(REGEX REPLACE "^ARCH\\(\"[^\"]*\", *([A-Za-z0-9]+),.*" "\\1" target "${row}")
    string(TOLOWER "${target}" target)
    list(APPEND names ${target}codegen ${target}desc ${target}info)
  endforeach()
  set(${result} "${names}" PARENT_SCOPE)
endfunction()

# The library's own parts in place of the shared object that has all of them: half the memory, and a
# third of the time to load. Packages may lack them, or what they need in turn: a program tells.
function(llvm_static_libraries result)
  llvm_components(components)
  set(${result} "" PARENT_SCOPE)
  execute_process(COMMAND "${EFFNETC_LLVM_CONFIG}" --link-static --libs ${components}
    OUTPUT_VARIABLE libraries OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE code ERROR_QUIET)
  if(NOT code EQUAL 0)
    return()
  endif()
  separate_arguments(libraries)
  foreach(name z zstd tinfo) # which of them is needed depends on the version
    find_library(EFFNETC_LIBRARY_${name} ${name})
    mark_as_advanced(EFFNETC_LIBRARY_${name})
    if(EFFNETC_LIBRARY_${name})
      list(APPEND libraries ${EFFNETC_LIBRARY_${name}})
    endif()
  endforeach()
  list(APPEND libraries stdc++ rt m ${CMAKE_DL_LIBS})
  set(CMAKE_REQUIRED_INCLUDES "${include}")
  set(CMAKE_REQUIRED_LIBRARIES ${libraries})
  set(CMAKE_REQUIRED_LINK_OPTIONS "-L${folder}")
  check_c_source_compiles("#include <llvm-c/LLJIT.h>
    #include <llvm-c/Transforms/PassBuilder.h>
    int main(void) {
      LLVMOrcLLJITRef jit;
      LLVMDisposePassBuilderOptions(LLVMCreatePassBuilderOptions());
      return LLVMOrcCreateLLJIT(&jit, 0) != 0;
    }" EFFNETC_LLVM_STATIC)
  if(EFFNETC_LLVM_STATIC)
    set(${result} ${libraries} PARENT_SCOPE)
  endif()
endfunction()

# A third of the file would be relocations. Packed, they are a hundredth; the C library has to know.
function(llvm_pack_relocations)
  check_c_source_compiles("#include <features.h>
    #if !__GLIBC_PREREQ(2, 36)
    #error older
    #endif
    int main(void) { return 0; }" EFFNETC_PACKED_RELOCATIONS)
  if(EFFNETC_PACKED_RELOCATIONS)
    target_link_options(effnetc_llvm INTERFACE -Wl,-z,pack-relative-relocs)
  endif()
endfunction()

add_library(effnetc_llvm INTERFACE)
llvm_static_libraries(libraries)
if(libraries)
  set(how "linked into effnetc-llvm.so")
  target_link_options(effnetc_llvm INTERFACE -Wl,--gc-sections -Wl,--as-needed)
  llvm_pack_relocations()
else()
  llvm_config(libraries --link-shared --libs)
  separate_arguments(libraries)
  set(how "its shared library")
endif()

message(STATUS "LLVM ${version}: ${EFFNETC_LLVM_CONFIG}, ${how}")
target_include_directories(effnetc_llvm SYSTEM INTERFACE "${include}")
target_link_directories(effnetc_llvm INTERFACE "${folder}")
target_link_libraries(effnetc_llvm INTERFACE ${libraries})
