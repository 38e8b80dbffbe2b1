# Applies every patch, in order, to DIR; stops at the first that does not fit exactly.
foreach(patch ${PATCHES})
  execute_process(COMMAND ${PATCH} -p1 --fuzz=0 --quiet -d ${DIR} -i ${patch} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
