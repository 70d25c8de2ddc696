package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/BurntSushi/toml"

	"fleettop/tui/theme/shipped"
	"fleettop/units/atomicfile"
	"fleettop/units/safefile"
)

// Settings are the files of a person's settings while a console is open. Its
// methods may be called from any goroutine; they read and write files.
type Settings struct {
	path string

	mu      sync.Mutex // guards what follows
	theme   string     // chosen in the console, over the file's; empty for none
	stamps  map[string]stamp
	filters map[string]Filter // where there is no file for them
}

// stamp tells one state of a file from another.
type stamp struct {
	changed time.Time
	size    int64
}

// Filter is a saved filter and the screen it belongs to.
type Filter struct {
	Screen string `toml:"screen"`
	Text   string `toml:"text"`
}

// Open reads the settings of a file. An empty path stands for a person whose
// files can't be reached from here: there are the shipped themes, and filters
// are kept until the console closes.
func Open(path string) (s *Settings, c *Config, warnings []string) {
	s = &Settings{path: path, filters: map[string]Filter{}}
	c, warnings = s.load()
	return s, c, warnings
}

// load reads all files; the caller holds mu, or is the only one.
func (s *Settings) load() (*Config, []string) {
	c, warnings := load(s.path, s.theme)
	s.stamps = c.stamps
	return c, warnings
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

// Poll reads the settings again if a file of them has changed.
func (s *Settings) Poll() (c *Config, warnings []string, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, was := range s.stamps {
		changed = changed || stampOf(path) != was
	}
	if !changed {
		return nil, nil, false
	}
	c, warnings = s.load()
	return c, warnings, true
}

// Use reads the settings with another theme, which stays until another is chosen.
func (s *Settings) Use(theme string) (c *Config, warnings []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.theme
	s.theme = theme
	if c, warnings = s.load(); len(warnings) > 0 {
		s.theme = was
	}
	return c, warnings
}

// Themes returns the names of the themes there are: shipped ones, and files
// beside the configuration that look like one.
func (s *Settings) Themes() []string {
	names := shipped.Names()
	if s.path == "" {
		return names
	}
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(s.path), "*.toml"))
	for _, file := range files {
		base := filepath.Base(file)
		if base != filepath.Base(s.path) && base != filtersFile {
			names = append(names, strings.TrimSuffix(base, ".toml"))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// filtersFile is beside the configuration, which belongs to the person: the
// console itself writes no file but this.
const filtersFile = "filters.toml"

// Filters returns the saved filters, by name.
func (s *Settings) Filters() (map[string]Filter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readFilters()
}

func (s *Settings) readFilters() (map[string]Filter, error) {
	if s.path == "" {
		return maps.Clone(s.filters), nil
	}
	path := filepath.Join(filepath.Dir(s.path), filtersFile)
	text, err := safefile.Read(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]Filter{}, nil
	}
	if err != nil {
		return nil, err
	}
	all := map[string]Filter{}
	if _, err := toml.Decode(string(text), &all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// SaveFilter saves a filter under a name, or with an empty text forgets it.
func (s *Settings) SaveFilter(name string, f Filter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.readFilters()
	if err != nil {
		return err
	}
	if f.Text == "" {
		delete(all, name)
	} else {
		all[name] = f
	}
	if s.path == "" {
		s.filters = all
		return nil
	}
	var b strings.Builder
	b.WriteString("# The console's saved filters: `:save-filter NAME` and `:use NAME`.\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "\n[%q]\nscreen = %q\ntext = %q\n", name, all[name].Screen, all[name].Text)
	}
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, filtersFile), []byte(b.String()), 0o600)
}
