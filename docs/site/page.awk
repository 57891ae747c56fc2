# What a page says in the repository becomes what it says on the site:
#   * the file that a block of code is taken from, a comment in the text, is a line above the block;
#   * `nn/linear.hpp` and `docs/jets.md` are links.
function target(name) {
  if (name ~ /^docs\/[a-z_]+[.]md$/) return substr(name, 6)
  sub(/^(include\/)?attn\//, "", name)
  if (name ~ /detail\/|pack_mistakes/) return ""
  if (name ~ /^(core|linalg|activation|attention|nn|optim|data|io|testing|models|pde|detection|train)\/[a-z_]+[.]hpp$/)
    return "@ref attn/" name
  return ""
}
/^ *```/ { inside = !inside }
!inside && /^ *<!-- [a-z]+\/[^ ]+ -->$/ {
  sub(/<!-- /, "<p class=\"source\">")
  sub(/ -->/, "</p>")
  print
  print ""
  next
}
!inside {
  rest = $0
  out = ""
  while (match(rest, /`[a-z_\/]+[.](hpp|md)`/)) {
    span = substr(rest, RSTART, RLENGTH)
    name = substr(span, 2, RLENGTH - 2)
    before = substr(rest, 1, RSTART - 1)
    to = before ~ /\[$/ ? "" : target(name)
    out = out before (to == "" ? span : "[" name "](" to ")")
    rest = substr(rest, RSTART + RLENGTH)
  }
  print out rest
  next
}
{ print }
