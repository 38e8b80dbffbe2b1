# Makes wasm2c's C use our loads and stores (src/sandbox/wasm2c/wasm-rt.h) in place of its own, and
# checks that it found exactly the lines it knows: another wabt that writes them differently stops the
# build instead of quietly losing them.
file(READ ${FILE} text)
string(REGEX MATCHALL "\nDEFINE_(LOAD|STORE)\\(" found "${text}")
list(LENGTH found count)
if(count LESS 23)
  message(FATAL_ERROR "wasm2c's output has ${count} load and store definitions, at least 23 expected: this wabt is not supported")
endif()
string(REGEX REPLACE "\nDEFINE_LOAD\\((f[0-9]+_load)" "\nNX_DEFINE_LOAD_FLOAT(\\1" text "${text}")
string(REGEX REPLACE "\nDEFINE_(LOAD|STORE)\\(" "\nNX_DEFINE_\\1(" text "${text}")
file(WRITE ${FILE} "${text}")
file(MAKE_DIRECTORY ${INCLUDE})
configure_file(${HEADER} ${INCLUDE}/guest.h COPYONLY)
