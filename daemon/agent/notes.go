package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// readNotes returns the notes of the daemon before, none if there are none.
// Notes that can't be read are as good as none: running units are adopted.
func readNotes(path string) (map[string]Note, error) {
	notes := map[string]Note{}
	raw, err := os.ReadFile(path)
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
	tmp, err := os.CreateTemp(filepath.Dir(path), ".agent-*")
	if err != nil {
		return fmt.Errorf("write the agent's notes: %w", err)
	}
	_, err = tmp.Write(raw)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("write the agent's notes: %w", err)
	}
	return nil
}
