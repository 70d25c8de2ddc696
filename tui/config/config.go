// Package config reads the console's own settings, from
// ~/.config/fleettop/config.toml:
//
//	theme = "dark"            # one that is shipped, or a file beside this one, dark.toml
//	glyphs = "ascii"          # for fonts without the others
//	mouse = true              # the wheel scrolls, a click selects
//
//	[keys]
//	stop = ["x", "f8"]        # an action of the table, and its keys
//	start = "s"               # or its only one
//
//	[colors]
//	good = "bold green"       # over the theme's
//
//	[clusters.prod]           # for --cluster=prod and :cluster prod
//	host = "ssh://core@n1"    # or a list; or endpoint, as the flags have them
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"fleettop/tui/theme/shipped"
	"fleettop/units/safefile"
)

// maxFile is how much of a file is read, in bytes.
const maxFile = 1 << 20

// Config is what the file says.
type Config struct {
	Theme  string
	Glyphs string // "", full or ascii
	Mouse  bool
	Keys   map[string][]string // by action
	Colors map[string]string   // by meaning; over the theme's
	// Cluster is the one to talk to where nothing else says which; empty for none.
	Cluster  string
	Clusters map[string]Cluster // by name
	// Broken says that the file has no settings at all, as it isn't TOML or can't be read.
	Broken bool
	// stamps are the states of the files it was made from, by path, taken before each was read.
	stamps map[string]stamp
}

// Path is where the file is: $XDG_CONFIG_HOME/fleettop/config.toml, or below ~/.config.
func Path() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "fleettop", "config.toml"), nil
}

// Load reads a file. One that isn't there is an empty one. A fault in it keeps
// no console from opening: the warnings say what is wrong, and the rest holds.
func Load(path string) (c *Config, warnings []string) { return load(path, "") }

// load is Load with another theme than the file's, unless it is empty.
func load(path, theme string) (c *Config, warnings []string) {
	c = &Config{stamps: map[string]stamp{}}
	if path != "" {
		c.stamps[path] = stampOf(path)
		for _, err := range read(path, c) {
			if !errors.Is(err, fs.ErrNotExist) {
				warnings = append(warnings, err.Error())
			}
		}
	}
	if c.Glyphs != "" && c.Glyphs != "full" && c.Glyphs != "ascii" {
		warnings = append(warnings, fmt.Sprintf("%s: glyphs = %q: choose full or ascii", path, c.Glyphs))
		c.Glyphs = ""
	}
	if _, ok := c.Clusters[c.Cluster]; c.Cluster != "" && !ok {
		warnings = append(warnings, fmt.Sprintf("%s: there is no [clusters.%s] for cluster = %q", path, c.Cluster, c.Cluster))
	}
	if theme != "" {
		c.Theme = theme
	}
	if c.Theme != "" {
		warnings = append(warnings, c.dress(path)...)
	}
	return c, warnings
}

// dress reads the theme's colours: a file beside the configuration's, or else a
// theme that is shipped.
func (c *Config) dress(path string) (warnings []string) {
	t := &Config{}
	var faults []error
	file := ""
	if path != "" {
		file = c.Theme
		if filepath.Ext(file) == "" {
			file += ".toml"
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(path), file)
		}
		c.stamps[file] = stampOf(file)
		faults = read(file, t)
	}
	text, ok := shipped.Read(c.Theme)
	switch {
	case ok && (file == "" || len(faults) == 1 && errors.Is(faults[0], fs.ErrNotExist)):
		faults = parse(c.Theme, text, t)
	case file == "":
		faults = []error{fmt.Errorf("there is no theme %q: it is one of %s", c.Theme, strings.Join(shipped.Names(), ", "))}
	case len(faults) == 1 && errors.Is(faults[0], fs.ErrNotExist):
		faults[0] = fmt.Errorf("%w; shipped are %s", faults[0], strings.Join(shipped.Names(), ", "))
	}
	for _, err := range faults {
		warnings = append(warnings, fmt.Sprintf("the theme that %s names: %v", cmp.Or(path, "was asked for"), err))
	}
	if t.Colors == nil {
		t.Colors = map[string]string{}
	}
	maps.Copy(t.Colors, c.Colors)
	c.Colors = t.Colors
	return warnings
}

// read reads settings; those that are right are taken, whatever else is wrong.
func read(path string, c *Config) (faults []error) {
	text, err := safefile.Read(path, maxFile)
	if err != nil {
		c.Broken = !errors.Is(err, fs.ErrNotExist)
		return []error{err} // it names the path
	}
	return parse(path, string(text), c)
}

// parse takes the settings of a text.
func parse(path, text string, c *Config) (faults []error) {
	var all map[string]any
	if _, err := toml.Decode(text, &all); err != nil {
		c.Broken = true
		return []error{fmt.Errorf("%s: %w", path, err)}
	}
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: "+format, append([]any{path}, args...)...))
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		value, right := all[name], true
		switch name {
		case "theme":
			if c.Theme, right = value.(string); !right {
				fault(`theme is a text, such as "dark"`)
			}
		case "cluster":
			if c.Cluster, right = value.(string); !right {
				fault(`cluster is a text, one of [clusters]`)
			}
		case "clusters":
			for _, err := range c.setClusters(value) {
				fault("%w", err)
			}
		case "glyphs":
			if c.Glyphs, right = value.(string); !right {
				fault(`glyphs is a text, "full" or "ascii"`)
			}
		case "mouse":
			if c.Mouse, right = value.(bool); !right {
				fault("mouse is true or false, without quotes")
			}
		case "keys", "colors":
			table, right := value.(map[string]any)
			if !right {
				fault("%s is a table: write [%s] in a line of its own, and below it what belongs to it", name, name)
			}
			for _, key := range slices.Sorted(maps.Keys(table)) {
				if name == "colors" && !c.setColor(key, table[key]) {
					fault(`colors.%s is a text, such as "bold green"`, key)
				} else if name == "keys" && !c.setKeys(key, table[key]) {
					fault(`keys.%s is a key, such as "x", or a list of keys`, key)
				}
			}
		default:
			fault("there is no setting %q: it has theme, glyphs, mouse, cluster, [keys], [colors] and [clusters.NAME]", name)
		}
	}
	return faults
}

// setColor reports whether a value is a colour.
func (c *Config) setColor(name string, value any) bool {
	spec, ok := value.(string)
	if !ok {
		return false
	}
	if c.Colors == nil {
		c.Colors = map[string]string{}
	}
	c.Colors[name] = spec
	return true
}

// textsOf are the texts of a value that is a text or a list of them.
func textsOf(value any) (texts []string, ok bool) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	texts = make([]string, 0, len(list))
	for _, v := range list {
		text, ok := v.(string)
		if !ok {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, true
}

// setKeys reports whether a value is a key, or a list of keys.
func (c *Config) setKeys(action string, value any) bool {
	names, ok := textsOf(value)
	if !ok {
		return false
	}
	if c.Keys == nil {
		c.Keys = map[string][]string{}
	}
	c.Keys[action] = names
	return true
}
