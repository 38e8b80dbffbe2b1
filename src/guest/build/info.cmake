# Writes versions and the build id: a hash of the guest module, which holds QuickJS, the glue and the
# prelude. Bytecode is only ever loaded by the very module that made it.
file(SHA256 ${WASM} hash)
string(SUBSTRING ${hash} 0 16 id)
file(WRITE ${OUT} "#define NX_QUICKJS_VERSION \"${QUICKJS}\"
#define NX_WABT_VERSION \"${WABT}\"
#define NX_GUEST_CLANG_VERSION \"${CLANG}\"
#define NX_GUEST_COMPILER \"${COMPILER}\"
#define NX_GUEST_BUILD_ID \"${id}\"
")
if(WABT VERSION_LESS 1.0.33)
  file(APPEND ${OUT} "#define NX_WABT_1_0_32 1\n")
endif()
