package unitfiles

import (
	"os"
	"path/filepath"

	"fleettop/units"
)

// Find returns the local file that an argument means, or "": its own, or for an
// instance that has none its template's in the same directory.
func Find(arg string) string {
	if path := local(arg); path != "" {
		return path
	}
	return template(arg)
}

// local returns an argument's own file, or "": the argument itself, or with
// .service where it has no type.
func local(arg string) string {
	for _, path := range []string{arg, filepath.Join(filepath.Dir(arg), Name(filepath.Base(arg)))} {
		if isFile(path) {
			return path
		}
	}
	return ""
}

// template returns the file of the template that an argument is an instance of, or "".
func template(arg string) string {
	n, err := units.ParseName(Name(arg))
	if err != nil || !n.IsInstance() {
		return ""
	}
	path := filepath.Join(filepath.Dir(arg), n.Template())
	if !isFile(path) {
		return ""
	}
	return path
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && !st.IsDir()
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}
