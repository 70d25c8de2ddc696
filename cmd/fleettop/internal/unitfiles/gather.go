package unitfiles

import (
	"path/filepath"
	"strings"

	"fleettop/daemon/api"
	"fleettop/units"
)

// Given is what the arguments of submit, load and start mean.
type Given struct {
	Files   []api.File
	Names   []string              // of units that the cluster knows, globs among them
	Paths   map[string]string     // where the files lie, by unit
	Bare    map[string]bool       // by unit: only a name was given, that of a unit or of a file
	Unread  map[string]*api.Error // by unit: a file of its name is here and can't be used
	Refused []Refusal             // arguments that are neither
}

// Refusal is what is wrong with an argument.
type Refusal struct {
	Unit  string // that it would have named
	Error *api.Error
}

func (g *Given) refuse(arg string, err error) {
	g.Refused = append(g.Refused, Refusal{Name(arg), refusal(err)})
}

// add adds the file that an argument means.
func (g *Given) add(f api.File, path string, bare bool) {
	g.Files = append(g.Files, f)
	if filepath.Base(path) == path {
		path = "./" + path
	}
	g.Paths[f.Name], g.Bare[f.Name] = path, bare
}

// Gather sorts the arguments of submit, load and start into files and names.
// An argument with a slash is a file; so is any file given to submit, or to be
// put in the place of another. Of a name that is also a file's, the daemon
// takes the file only where it knows no unit of the name.
func Gather(verb api.Verb, replace bool, args []string) *Given {
	g := &Given{Paths: map[string]string{}, Bare: map[string]bool{}, Unread: map[string]*api.Error{}}
	for _, arg := range args {
		path, slash := local(arg), strings.Contains(arg, "/")
		mustBeFile := slash || replace || verb == api.Submit
		switch {
		case path != "":
			name := Name(filepath.Base(path))
			file, err := Read(path)
			switch {
			case err == nil:
				f := api.File{Name: name, Content: file.Content(), Fallback: !mustBeFile}
				g.add(f, path, !slash && verb != api.Submit)
			case mustBeFile:
				g.refuse(arg, err)
			default:
				g.Unread[name], g.Names = refusal(err), append(g.Names, name)
			}
		case isDir(arg) && (slash || arg == "." || arg == ".."):
			hint := "give the unit files in it, such as " + filepath.Join(arg, "*.service")
			g.refuse(arg, api.Refuse(api.CodeInvalid, hint, "%s is a directory", arg))
		case !slash && IsGlob(arg):
			g.Names = append(g.Names, arg)
		default:
			g.addNamed(verb, arg)
		}
	}
	return g
}

// addNamed adds an argument that names no file of its own: an instance may have
// its template's beside it.
func (g *Given) addNamed(verb api.Verb, arg string) {
	slash := strings.Contains(arg, "/")
	name := Name(arg)
	n, err := units.ParseName(name)
	if path := template(arg); path != "" {
		t, err := Read(path)
		switch {
		case err == nil:
			g.add(api.File{Name: name, Content: t.Content(), Fallback: !slash, Template: true}, path, !slash)
			return
		case slash:
			g.refuse(arg, err)
			return
		}
		g.Unread[name] = refusal(err)
	}
	switch {
	case verb == api.Submit && err == nil && !n.IsInstance() && !slash:
		g.refuse(arg, api.Refuse(api.CodeInvalid, "give the path of the unit file", "there is no file %s here", name))
	case slash && (err != nil || verb == api.Submit && !n.IsInstance()):
		g.refuse(arg, api.Refuse(api.CodeInvalid, "give the path of the unit file", "there is no file %s", arg))
	case slash:
		g.Unread[name] = api.Refuse(api.CodeInvalid, "give a file or a name",
			"there is no file %s, and no unit %s is submitted", arg, name)
		g.Names = append(g.Names, name)
	default:
		g.Names = append(g.Names, name)
	}
}
