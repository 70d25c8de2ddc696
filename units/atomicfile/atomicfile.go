// Package atomicfile replaces files whole: a reader sees the old content or the
// new one, and after a power loss one of the two is there.
package atomicfile

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Write replaces the file at path by one with this content and exactly this
// mode, whatever the umask. It blocks until the content is on the disk, and
// leaves the old file as it was when it fails.
func Write(path string, data []byte, mode os.FileMode) error {
	if err := renameio.WriteFile(path, data, mode, renameio.IgnoreUmask(), renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
