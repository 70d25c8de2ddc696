package main

import _ "embed"

//go:embed scripts/common.sh
var commonScript string

// script returns a package's script: the shared functions, and what to do.
func script(do string) string {
	return "#!/bin/sh\nset -e\n\n" + commonScript + "\n" + do
}

// debScripts are those of Debian's, by name. dpkg says in the first argument why it runs them.
var debScripts = map[string]string{
	"postinst": script(`if [ "$1" = configure ] && [ -z "$2" ]; then
	installed
elif [ "$1" = configure ]; then
	upgraded
fi
`),
	"prerm": script(`if [ "$1" = remove ]; then
	removing
fi
`),
	"postrm": script(`if [ "$1" = remove ]; then
	removed
fi
`),
}

// rpmScripts are those of rpm's. Their first argument says how many versions of
// the package there are afterwards.
var rpmScripts = struct{ post, preun, postun string }{
	post: script(`if [ "$1" = 1 ]; then
	installed
else
	upgraded
fi
`),
	preun: script(`if [ "$1" = 0 ]; then
	removing
fi
`),
	postun: script(`if [ "$1" = 0 ]; then
	removed
fi
`),
}

// apkScripts are those of Alpine's, by the names of their files, in the order of the package.
var apkScripts = []file{
	{path: ".post-deinstall", data: []byte(script("removed\n")), mode: 0o755},
	{path: ".post-install", data: []byte(script("installed\n")), mode: 0o755},
	{path: ".post-upgrade", data: []byte(script("upgraded\n")), mode: 0o755},
	{path: ".pre-deinstall", data: []byte(script("removing\n")), mode: 0o755},
}
