package cli

import (
	"errors"
	"path/filepath"
	"strings"

	"fleettop/daemon/api"
	"fleettop/units"
	"fleettop/units/safefile"
)

// readUnitFile reads a local unit file and refuses what can't be one.
func readUnitFile(path string) (*units.File, error) {
	if filepath.Ext(path) == ".conf" && filepath.Ext(filepath.Dir(path)) == ".d" {
		return nil, api.Refuse(api.CodeInvalid, "write its settings into the unit file itself",
			"%s is a drop-in, which doesn't travel with its unit", path)
	}
	raw, err := safefile.Read(path, units.MaxFileSize)
	switch {
	case errors.Is(err, safefile.ErrTooLarge):
		return nil, api.Refuse(api.CodeInvalid, "put data into a file of its own",
			"%s is larger than %d KiB, the most a unit file may be", path, units.MaxFileSize>>10)
	case err != nil:
		return nil, api.Refuse(api.CodeInvalid, "give a unit file that is there and can be read", "%v", err)
	}
	file, err := units.ParseFile(string(raw))
	if err != nil {
		return nil, inFile(path, err)
	}
	return file, nil
}

// inFile is an error about a file, as path:line: message.
func inFile(path string, err error) error {
	if at := (*units.FileError)(nil); errors.As(err, &at) && at.Line > 0 {
		return api.Refuse(api.CodeInvalid, "", "%s:%d: %s", path, at.Line, at.Msg)
	}
	return api.Refuse(api.CodeInvalid, "", "%s: %v", path, err)
}

// localFile is the local file an argument means, or "": the argument itself,
// or with .service where it has no type.
func localFile(arg string) string {
	for _, path := range []string{arg, filepath.Join(filepath.Dir(arg), unitName(filepath.Base(arg)))} {
		if isFile(path) {
			return path
		}
	}
	return ""
}

// given is what the arguments of submit, load and start mean.
type given struct {
	files  []api.File
	names  []string              // of units that the cluster knows, globs among them
	paths  map[string]string     // where the files lie, by unit
	bare   map[string]bool       // by unit: only a name was given, that of a unit or of a file
	unread map[string]*api.Error // by unit: a file of its name is here and can't be used
	bad    []outcome             // arguments that are neither
}

func (g *given) refuse(arg string, err error) {
	e := failureOf(err, nil)
	g.bad = append(g.bad, outcome{Unit: unitName(arg), Verdict: refused, Text: e.Error(), Error: e})
}

// add adds the file that an argument means.
func (g *given) add(f api.File, path string, bare bool) {
	g.files = append(g.files, f)
	if filepath.Base(path) == path {
		path = "./" + path
	}
	g.paths[f.Name], g.bare[f.Name] = path, bare
}

// gather sorts the arguments of submit, load and start into files and names.
// An argument with a slash is a file; so is any file given to submit, or to be
// put in the place of another. Of a name that is also a file's, the daemon
// takes the file only where it knows no unit of the name.
func gather(verb api.Verb, replace bool, args []string) *given {
	g := &given{paths: map[string]string{}, bare: map[string]bool{}, unread: map[string]*api.Error{}}
	for _, arg := range args {
		path, slash := localFile(arg), strings.Contains(arg, "/")
		mustBeFile := slash || replace || verb == api.Submit
		switch {
		case path != "":
			name := unitName(filepath.Base(path))
			file, err := readUnitFile(path)
			switch {
			case err == nil:
				f := api.File{Name: name, Content: file.Content(), Fallback: !mustBeFile}
				g.add(f, path, !slash && verb != api.Submit)
			case mustBeFile:
				g.refuse(arg, err)
			default:
				g.unread[name], g.names = failureOf(err, nil), append(g.names, name)
			}
		case isDir(arg) && (slash || arg == "." || arg == ".."):
			hint := "give the unit files in it, such as " + filepath.Join(arg, "*.service")
			g.refuse(arg, api.Refuse(api.CodeInvalid, hint, "%s is a directory", arg))
		case !slash && isGlob(arg):
			g.names = append(g.names, arg)
		default:
			g.addNamed(verb, arg)
		}
	}
	return g
}

// addNamed adds an argument that names no file: an instance may have its
// template's file beside it.
func (g *given) addNamed(verb api.Verb, arg string) {
	slash := strings.Contains(arg, "/")
	name := unitName(filepath.Base(arg))
	n, err := units.ParseName(name)
	if err == nil && n.IsInstance() {
		path := filepath.Join(filepath.Dir(arg), n.Template())
		if isFile(path) {
			t, err := readUnitFile(path)
			if err == nil {
				g.add(api.File{Name: name, Content: t.Content(), Fallback: !slash, Template: true}, path, !slash)
				return
			}
			if slash {
				g.refuse(arg, err)
				return
			}
			g.unread[name] = failureOf(err, nil)
		}
	}
	switch {
	case slash:
		g.refuse(arg, api.Refuse(api.CodeInvalid, "give a file or a name",
			"there is no file %s, and a unit name has no slash", arg))
	case err == nil && verb == api.Submit && !n.IsInstance():
		g.refuse(arg, api.Refuse(api.CodeInvalid, "give the path of the unit file", "there is no file %s here", name))
	default:
		g.names = append(g.names, name)
	}
}

// maxBatch is how much content goes into one request.
const maxBatch = 8 << 20

// batches splits a request into some of bounded size.
func batches(req api.ActionRequest) []api.ActionRequest {
	var out []api.ActionRequest
	rest, first := req.Files, req
	first.Units = nil
	for size, i := 0, 0; i < len(rest); i++ {
		size += len(rest[i].Content)
		if size > maxBatch && i > 0 {
			first.Files = rest[:i]
			out = append(out, first)
			rest, size, i = rest[i:], 0, -1
		}
	}
	req.Files = rest
	return append(out, req)
}
