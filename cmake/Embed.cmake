# effnetc_embed(TARGET FILE SYMBOL): makes SYMBOL.h, which TARGET can include: the bytes of FILE, and
# a zero behind them, as `static const unsigned char SYMBOL[]`.
#
# Run as a script (cmake -D FILE=... -D SYMBOL=... -D OUTPUT=... -P Embed.cmake) it writes that file.
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ "${FILE}" hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(................................................................................)"
    "\\1\n" bytes "${bytes}")
  file(WRITE "${OUTPUT}" "static const unsigned char ${SYMBOL}[] = {\n${bytes}0};\n")
  return()
endif()

set(EFFNETC_EMBED_SCRIPT "${CMAKE_CURRENT_LIST_FILE}")

function(effnetc_embed target file symbol)
  set(output "${CMAKE_CURRENT_BINARY_DIR}/embedded/${symbol}.h")
  add_custom_command(OUTPUT "${output}"
    COMMAND "${CMAKE_COMMAND}" -D "FILE=${CMAKE_CURRENT_SOURCE_DIR}/${file}" -D "SYMBOL=${symbol}"
      -D "OUTPUT=${output}" -P "${EFFNETC_EMBED_SCRIPT}"
    DEPENDS "${file}" "${EFFNETC_EMBED_SCRIPT}"
    COMMENT "Embedding ${file}" VERBATIM)
  target_sources(${target} PRIVATE "${output}")
  target_include_directories(${target} PRIVATE "${CMAKE_CURRENT_BINARY_DIR}/embedded")
endfunction()
