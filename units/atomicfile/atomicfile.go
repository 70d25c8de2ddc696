// Package atomicfile replaces files whole: a reader sees the old content or the
// new one, and where Write did it one of the two is there after a power loss.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
)

// Write replaces the file at path by one with this content and exactly this
// mode, whatever the umask. It blocks until the content is on the disk, and
// leaves the old file as it was when it fails. A process that is killed may leave
// a file .NAME followed by digits beside it; see Tidy.
func Write(path string, data []byte, mode os.FileMode) error {
	if err := renameio.WriteFile(path, data, mode, renameio.IgnoreUmask(),
		renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// The name of a temporary file of Replace; no unit has such a name.
const (
	tempPrefix = ".new-"
	tempSuffix = ".tmp"
)

// IsTemp reports whether a file of this name is one that an interrupted Replace left.
func IsTemp(name string) bool {
	return strings.HasPrefix(name, tempPrefix) && strings.HasSuffix(name, tempSuffix)
}

// Replace does what Write does without waiting for the disk: for what is
// written often and worth nothing after a reboot. The new content is first in
// tempDir, on the same file system, where a process that is killed may leave it.
func Replace(path string, data []byte, mode os.FileMode, tempDir string) error {
	return ReplaceAll([]File{{Path: path, Data: data}}, mode, tempDir)
}

// File is a file to replace, and its new content.
type File struct {
	Path string
	Data []byte
}

// ReplaceAll does what Replace does for several files: it has written all of them
// before it replaces the first. Where it fails before that, all old files are as they were.
func ReplaceAll(files []File, mode os.FileMode, tempDir string) (err error) {
	var temps []string
	defer func() {
		for _, left := range temps {
			err = errors.Join(err, os.Remove(left))
		}
	}()
	for _, file := range files {
		f, err := os.CreateTemp(tempDir, tempPrefix+"*"+tempSuffix)
		if err != nil {
			return err
		}
		temps = append(temps, f.Name())
		_, err = f.Write(file.Data)
		if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
			return err
		}
	}
	for _, file := range files {
		if err := os.Rename(temps[0], file.Path); err != nil {
			return err
		}
		temps = temps[1:]
	}
	return nil
}

// Tidy removes what processes that were killed in Write, Replace or ReplaceAll left in a
// directory, or only what they left of the files of these names. No other process may write them
// meanwhile. A directory that isn't there is tidy.
func Tidy(dir string, names ...string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		of, interrupted := strings.CutPrefix(strings.TrimRight(e.Name(), "0123456789"), ".")
		interrupted = interrupted && of != "" && len(e.Name()) > len(of)+1
		if len(names) > 0 {
			interrupted = interrupted && slices.Contains(names, of)
		} else {
			interrupted = interrupted || IsTemp(e.Name())
		}
		if interrupted && e.Type().IsRegular() {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
