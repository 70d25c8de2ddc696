package drill

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"fleettop/cluster"
	"fleettop/units/atomicfile"
	"fleettop/units/safefile"
)

const (
	markFile = "drill.json" // in the state directory
	lastFile = "drilled"    // in the run directory: the ID of the last drill of this boot
	markSize = 64 << 10
)

// mark says that this machine is out until a time, if it hasn't booted since.
type mark struct {
	ID    string        `json:"id"`
	Boot  string        `json:"boot"`
	Until time.Duration `json:"until"` // nanoseconds since the boot, on CLOCK_BOOTTIME
}

func (m mark) write(stateDir string) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(stateDir, markFile), raw, 0o600)
}

// readMark returns what the state directory has; known is false for nothing.
func readMark(stateDir string) (m mark, known bool, err error) {
	raw, err := safefile.Read(filepath.Join(stateDir, markFile), markSize)
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	return m, true, err
}

func removeMark(stateDir string) error {
	err := os.Remove(filepath.Join(stateDir, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// left is how long the drill still lasts at a time since the boot; 0 where it is over.
func (m mark) left(boot string, now time.Duration) time.Duration {
	if m.Boot != boot || m.Until-now > cluster.DrillMost {
		return 0
	}
	return max(0, m.Until-now)
}

// BootAfter is what this boot is called after the drills that there were in it:
// like a boot, each ended all that ran.
func BootAfter(boot, runDir string) string {
	last, err := safefile.Read(filepath.Join(runDir, lastFile), markSize)
	if err != nil || len(last) == 0 || boot == "" {
		return boot
	}
	return fmt.Sprintf("%s/%s", boot, last)
}
