# onnx_proto: protobuf-c code for the installed onnx.proto, made at build time.
find_program(PROTOC_C protoc-c REQUIRED)
find_file(ONNX_PROTO onnx.proto PATH_SUFFIXES onnx include/onnx REQUIRED)
get_filename_component(onnx_proto_dir "${ONNX_PROTO}" DIRECTORY)

set(onnx_proto_out "${CMAKE_CURRENT_BINARY_DIR}/onnx_proto")
file(MAKE_DIRECTORY "${onnx_proto_out}")
add_custom_command(
  OUTPUT "${onnx_proto_out}/onnx.pb-c.c" "${onnx_proto_out}/onnx.pb-c.h"
  COMMAND "${PROTOC_C}" "--proto_path=${onnx_proto_dir}" "--c_out=${onnx_proto_out}" "${ONNX_PROTO}"
  DEPENDS "${ONNX_PROTO}" VERBATIM)
add_library(onnx_proto OBJECT "${onnx_proto_out}/onnx.pb-c.c" "${onnx_proto_out}/onnx.pb-c.h")
target_include_directories(onnx_proto SYSTEM PUBLIC "${onnx_proto_out}")
find_package(PkgConfig REQUIRED)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
target_link_libraries(onnx_proto PUBLIC PkgConfig::PROTOBUF_C)
