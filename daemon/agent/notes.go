package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"fleettop/units/atomicfile"
	"fleettop/units/safefile"
)

const notesLimit = 64 << 20 // far more than any machine's notes take

// Noted returns the names of the units in the notes of the daemon before: those
// that its manager held, since the machine booted.
func Noted(path string) []string {
	notes, err := readNotes(path)
	if err != nil {
		return nil // and Run says so
	}
	return slices.Sorted(maps.Keys(notes))
}

// readNotes returns the notes of the daemon before, none if there are none.
// Notes that can't be read are as good as none: running units are adopted.
func readNotes(path string) (map[string]Note, error) {
	notes := map[string]Note{}
	raw, err := safefile.Read(path, notesLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return notes, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &notes)
	}
	if err != nil {
		return map[string]Note{}, fmt.Errorf("read the agent's notes %s: %w", path, err)
	}
	if notes == nil {
		notes = map[string]Note{}
	}
	return notes, nil
}

func writeNotes(path string, notes map[string]Note) error {
	raw, err := json.Marshal(notes)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, raw, 0o600)
}
