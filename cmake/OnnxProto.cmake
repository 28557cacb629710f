# onnx_proto: protobuf-c code for the installed onnx.proto, made at build time.
find_program(PROTOC_C protoc-c REQUIRED)
find_file(ONNX_PROTO onnx.proto PATH_SUFFIXES onnx include/onnx REQUIRED)

set(onnx_proto_out "${CMAKE_CURRENT_BINARY_DIR}/onnx_proto")
file(MAKE_DIRECTORY "${onnx_proto_out}")

# What Debian 12's does not have yet: defaults of a function's attributes (IR version 9) and
# functions that share a name (IR version 10).
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${ONNX_PROTO}")
file(READ "${ONNX_PROTO}" onnx_proto_text)
foreach(field
    "FunctionProto|repeated AttributeProto attribute_proto = 11"
    "FunctionProto|optional string overload = 13"
    "NodeProto|optional string overload = 8")
  string(REGEX MATCH "^([A-Za-z]+)[|](.*)$" field "${field}")
  set(message "message ${CMAKE_MATCH_1} {")
  set(line "${CMAKE_MATCH_2};")
  string(FIND "${onnx_proto_text}" "${line}" found)
  if(found EQUAL -1)
    string(REPLACE "${message}" "${message}\n  ${line}" onnx_proto_text "${onnx_proto_text}")
  endif()
endforeach()
file(CONFIGURE OUTPUT "${onnx_proto_out}/onnx.proto" CONTENT "${onnx_proto_text}" @ONLY)
add_custom_command(
  OUTPUT "${onnx_proto_out}/onnx.pb-c.c" "${onnx_proto_out}/onnx.pb-c.h"
  COMMAND "${PROTOC_C}" "--proto_path=${onnx_proto_out}" "--c_out=${onnx_proto_out}"
          "${onnx_proto_out}/onnx.proto"
  DEPENDS "${onnx_proto_out}/onnx.proto" VERBATIM)
add_library(onnx_proto OBJECT "${onnx_proto_out}/onnx.pb-c.c" "${onnx_proto_out}/onnx.pb-c.h")
target_include_directories(onnx_proto SYSTEM PUBLIC "${onnx_proto_out}")
find_package(PkgConfig REQUIRED)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
target_link_libraries(onnx_proto PUBLIC PkgConfig::PROTOBUF_C)
