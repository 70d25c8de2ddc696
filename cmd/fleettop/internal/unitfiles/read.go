// Package unitfiles finds the units and the local files that arguments of the command
// line mean.
package unitfiles

import (
	"errors"
	"path/filepath"

	"fleettop/daemon/api"
	"fleettop/units"
	"fleettop/units/safefile"
)

// Read reads a local unit file and refuses what can't be one: its errors are the API's.
func Read(path string) (*units.File, error) {
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
		return nil, InFile(path, err)
	}
	return file, nil
}

// InFile returns an error about a file's content as path:line: message.
func InFile(path string, err error) error {
	if at := (*units.FileError)(nil); errors.As(err, &at) && at.Line > 0 {
		return api.Refuse(api.CodeInvalid, "", "%s:%d: %s", path, at.Line, at.Msg)
	}
	return api.Refuse(api.CodeInvalid, "", "%s: %v", path, err)
}

// refusal returns an error as the API's.
func refusal(err error) *api.Error {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e
	}
	return api.Refuse(api.CodeInvalid, "", "%v", err)
}
