package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"fleettop/daemon/api"
	"fleettop/units"
	"fleettop/units/safefile"
)

// readUnitFile reads a local unit file and refuses what can't be one.
func readUnitFile(path string) (*units.File, error) {
	raw, err := safefile.Read(path, units.MaxFileSize)
	if errors.Is(err, safefile.ErrTooLarge) {
		return nil, fmt.Errorf("%s is larger than %d KiB, the most a unit file may be: put data into a file of its own", path, units.MaxFileSize>>10)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: give a unit file that is there and can be read", err)
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
		return fmt.Errorf("%s:%d: %s", path, at.Line, at.Msg)
	}
	return fmt.Errorf("%s: %w", path, err)
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

// gather sorts the arguments of submit, load and start into files to be sent
// and names the cluster knows. Each argument that is neither is an error.
func gather(verb api.Verb, args []string) (files []api.File, names []string, errs []error) {
	for _, arg := range args {
		path := localFile(arg)
		switch {
		case path != "":
			file, err := readUnitFile(path)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			files = append(files, api.File{Name: filepath.Base(path), Content: file.Content()})
			if name := filepath.Base(path); unitName(name) != name {
				files[len(files)-1].Name = unitName(name)
			}
		case isDir(arg) && (strings.Contains(arg, "/") || arg == "." || arg == ".."):
			errs = append(errs, fmt.Errorf("%s is a directory: give the unit files in it, such as %s", arg, filepath.Join(arg, "*.service")))
		case strings.Contains(arg, "/"):
			errs = append(errs, fmt.Errorf("there is no file %s, and a unit name has no slash: give a file or a name", arg))
		case isGlob(arg):
			names = append(names, arg)
		default:
			name := unitName(arg)
			n, err := units.ParseName(name)
			if err == nil && n.IsInstance() && isFile(n.Template()) {
				// Without a template in the cluster, the one at hand will do, as for fleet.
				if t, err := readUnitFile(n.Template()); err == nil {
					files = append(files, api.File{Name: name, Content: t.Content(), Fallback: true})
					continue
				}
			}
			if err == nil && verb == api.Submit && !n.IsInstance() {
				errs = append(errs, fmt.Errorf("there is no file %s here: give the path of the unit file", name))
				continue
			}
			names = append(names, name)
		}
	}
	return files, names, errs
}

// maxBatch is how much content goes into one request.
const maxBatch = 8 << 20

// batches splits a request into some of bounded size.
func batches(req api.ActionRequest) []api.ActionRequest {
	var out []api.ActionRequest
	rest := req.Files
	for size, i := 0, 0; i < len(rest); i++ {
		size += len(rest[i].Content)
		if size > maxBatch && i > 0 {
			out = append(out, api.ActionRequest{Verb: req.Verb, Replace: req.Replace, Files: rest[:i]})
			rest, size, i = rest[i:], 0, -1
		}
	}
	req.Files = rest
	return append(out, req)
}
