package systemd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fleettop/units"
)

// altered returns by which files in systemd's directories units are other than
// their own files say, by unit: a file of the same name in a directory of higher
// precedence than that of the links, which replaces or masks it, and drop-ins
// for it or for its template, and in which directories those are. Drop-ins for a
// type of units are the host's business.
func (d store) altered(dirs []string, held map[string]bool) (texts map[string]string, dropInDirs []string, err error) {
	byDropInDir := map[string][]string{}
	for name := range held {
		byDropInDir[name+".d"] = append(byDropInDir[name+".d"], name)
		if n, err := units.ParseName(name); err == nil && n.Template() != "" {
			byDropInDir[n.Template()+".d"] = append(byDropInDir[n.Template()+".d"], name)
		}
	}
	found := map[string][]string{}
	links := slices.Index(dirs, d.links)
	for i, dir := range dirs { // in systemd's order of precedence
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue
		} else if err != nil {
			return nil, nil, fmt.Errorf("looking for drop-ins: %w", err)
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if held[e.Name()] && i < links && !e.IsDir() {
				found[e.Name()] = append(found[e.Name()], shadow(path))
			}
			if of := byDropInDir[e.Name()]; len(of) > 0 {
				files := d.dropIns(path)
				dropInDirs = append(dropInDirs, path)
				for _, name := range of {
					found[name] = append(found[name], files...)
				}
			}
		}
	}
	texts = make(map[string]string, len(found))
	for name, list := range found {
		texts[name] = strings.Join(list, ", ")
	}
	return texts, dropInDirs, nil
}

// shadow says what a file of the host does to a unit of its name.
func shadow(path string) string {
	if target, err := os.Readlink(path); err == nil && target == os.DevNull {
		return "masked by " + path
	}
	return "replaced by " + path
}

// dropIns are the drop-in files in a directory that are not this manager's.
func (d store) dropIns(dir string) (list []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // it went, or is the host's to read
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".conf") && e.Name() != fenceDropIn {
			list = append(list, "changed by "+filepath.Join(dir, e.Name()))
		}
	}
	return list
}

// lookForAltered notes by which files of the host units are altered.
func (m *Manager) lookForAltered(s *session) {
	m.mu.Lock()
	held := make(map[string]bool, len(m.table.byName))
	for name := range m.table.byName {
		held[name] = true
	}
	m.mu.Unlock()
	texts, dirs, err := m.files.altered(s.unitDirs, held)
	if err != nil {
		m.log.Warn("drop-ins for units of the cluster are not looked for", "error", err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dropInDirs = dirs
	for name, u := range m.table.byName {
		if held[name] && u.altered != texts[name] {
			u.altered = texts[name]
			m.mark(name)
		}
	}
}
