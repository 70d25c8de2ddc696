// Package config reads the console's own settings, from
// ~/.config/fleettop/config.toml:
//
//	theme = "dusk"            # a file beside this one, dusk.toml
//	glyphs = "ascii"          # for fonts without the others
//	mouse = true              # the wheel scrolls, a click selects
//
//	[keys]
//	stop = ["x", "f8"]        # an action of the table, and its keys
//	start = "s"               # or its only one
//
//	[colors]
//	good = "bold green"       # over the theme's
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/BurntSushi/toml"

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
func Load(path string) (c *Config, warnings []string) {
	c = &Config{}
	for _, err := range read(path, c) {
		if !errors.Is(err, fs.ErrNotExist) {
			warnings = append(warnings, err.Error())
		}
	}
	if c.Glyphs != "" && c.Glyphs != "full" && c.Glyphs != "ascii" {
		warnings = append(warnings, fmt.Sprintf("%s: glyphs = %q: choose full or ascii", path, c.Glyphs))
		c.Glyphs = ""
	}
	if c.Theme == "" {
		return c, warnings
	}
	theme := c.Theme
	if filepath.Ext(theme) == "" {
		theme += ".toml"
	}
	if !filepath.IsAbs(theme) {
		theme = filepath.Join(filepath.Dir(path), theme)
	}
	t := &Config{}
	for _, err := range read(theme, t) {
		warnings = append(warnings, fmt.Sprintf("the theme that %s names: %v", path, err))
	}
	if t.Colors == nil {
		t.Colors = map[string]string{}
	}
	maps.Copy(t.Colors, c.Colors)
	c.Colors = t.Colors
	return c, warnings
}

// read reads settings; those that are right are taken, whatever else is wrong.
func read(path string, c *Config) (faults []error) {
	text, err := safefile.Read(path, maxFile)
	if err != nil {
		return []error{err} // it names the path
	}
	var all map[string]any
	if _, err := toml.Decode(string(text), &all); err != nil {
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
				fault(`theme is a text, such as "dusk"`)
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
			fault("there is no setting %q: it has theme, glyphs, mouse, [keys] and [colors]", name)
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

// setKeys reports whether a value is a key, or a list of keys.
func (c *Config) setKeys(action string, value any) bool {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	names := make([]string, 0, len(list))
	for _, v := range list {
		name, ok := v.(string)
		if !ok {
			return false
		}
		names = append(names, name)
	}
	if c.Keys == nil {
		c.Keys = map[string][]string{}
	}
	c.Keys[action] = names
	return true
}
