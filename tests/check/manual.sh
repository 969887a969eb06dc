#!/bin/sh
# Every option that the program takes is in its manual, and the other way round;
# and so are the exit statuses of err.h.
cd "$(dirname "$0")/../.." || exit 1
hub=${HUB_BIN:-./hub}
passed=0 failed=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

check() { # name, text that is empty if all is well
	if [ -z "$2" ]; then
		passed=$((passed + 1))
		return
	fi
	failed=$((failed + 1))
	printf '%s:\n%s\n' "$1" "$2"
}

# The lines of help that begin with an option, of all commands; all names are
# with '-' between words.
commands=$("$hub" help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
for c in $commands; do
	"$hub" help "$c"
done | grep -E '^ +-' | sed 's/   *[^- ].*//' |
	grep -oE -- '--?[A-Za-z0-9][A-Za-z0-9_-]*' |
	tr _ - | sort -u >"$work/help"
sed -n 's/^\.It Fl //p' hub.1 | sed 's/ , Fl /\n/g; s/ Ns = Ns / /g' |
	sed 's/ .*//; s/^/-/' | tr _ - | sort -u >"$work/manual"

check 'no options in the help' "$([ -s "$work/help" ] || echo none)"
check 'in the help but not in hub.1' "$(comm -23 "$work/help" "$work/manual")"
check 'in hub.1 but not in the help' "$(comm -13 "$work/help" "$work/manual" |
	grep -vxE -- '--?(h|help|V|version)')"

for c in $commands; do
	check "hub.1 does not name the command $c" \
		"$(grep -q "^\.Cm $c" hub.1 || echo "$c")"
done

sed -n 's/^	ERR_[A-Z]* = \([0-9]*\),.*/\1/p' err.h | grep -v '^128$' |
	sort >"$work/kinds"
sed -n '/^\.Sh EXIT STATUS/,/^\.El/s/^\.It \([0-9]*\)$/\1/p' hub.1 |
	sort >"$work/statuses"
check 'exit statuses of err.h and hub.1' \
	"$(diff "$work/kinds" "$work/statuses")"

if command -v mandoc >/dev/null; then
	check 'mandoc' "$(mandoc -Tlint -W style hub.1 2>&1)"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
