# A header's first comment is about the file. This tells doxygen, and puts the file among those of its layer: the line
# `#pragma once` and the empty one behind it become commands in that comment, so that lines keep their numbers.
FNR == 1 {
  layer = FILENAME
  sub(/.*include\/attn\//, "", layer)
  if (!sub(/\/.*/, "", layer)) layer = "attn"
  of_file = /^\/\/\/ /
}
of_file && /^#pragma once/ {
  print "/// \\file"
  getline
  print "/// \\ingroup layer_" layer
  of_file = 0
  next
}
# A comment behind a member is about that member, with two slashes or three.
{
  continues = behind && /^ *\/\/ /
  if (continues) sub(/\/\/ /, "///< ")
  behind = continues || sub(/;  \/\/ /, ";  ///< ")
  print
}
