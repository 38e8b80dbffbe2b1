# Writes file IN as a C array NAME to OUT, NUL-terminated, with its length in NAME_len.
file(READ ${IN} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR len "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUT} "static const unsigned char ${NAME}[] = {${bytes}0};\nenum { ${NAME}_len = ${len} };\n")
