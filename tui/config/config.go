// Package config reads the console's own settings, from
// ~/.config/fleettop/config.toml:
//
//	theme = "dusk"            # a file beside this one, dusk.toml
//	glyphs = "ascii"          # for fonts without the others
//	mouse = true              # the wheel scrolls, a click selects
//
//	[keys]
//	stop = ["x", "f8"]        # an action of the table, and its keys
//
//	[colors]
//	good = "bold green"       # over the theme's
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/BurntSushi/toml"

	"fleettop/units/safefile"
)

// maxFile is how much of a file is read, in bytes.
const maxFile = 1 << 20

// Config is what the file says.
type Config struct {
	Theme  string              `toml:"theme"`
	Glyphs string              `toml:"glyphs"` // "", full or ascii
	Mouse  bool                `toml:"mouse"`
	Keys   map[string][]string `toml:"keys"`   // by action
	Colors map[string]string   `toml:"colors"` // by meaning; over the theme's
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
	warn := func(err error) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			warnings = append(warnings, err.Error())
		}
	}
	warn(read(path, c))
	if c.Glyphs != "" && c.Glyphs != "full" && c.Glyphs != "ascii" {
		warn(fmt.Errorf("%s: glyphs = %q: choose full or ascii", path, c.Glyphs))
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
	var t struct {
		Colors map[string]string `toml:"colors"`
	}
	if err := read(theme, &t); err != nil {
		warnings = append(warnings, fmt.Sprintf("the theme that %s names: %v", path, err))
	}
	if t.Colors == nil {
		t.Colors = map[string]string{}
	}
	for name, spec := range c.Colors {
		t.Colors[name] = spec
	}
	c.Colors = t.Colors
	return c, warnings
}

// read reads settings; those that are right are taken, whatever else is wrong.
func read(path string, into any) error {
	text, err := safefile.Read(path, maxFile)
	if err != nil {
		return err // it names the path
	}
	meta, err := toml.Decode(string(text), into)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if left := meta.Undecoded(); len(left) > 0 {
		return fmt.Errorf("%s: there is no setting %q: it has theme, glyphs, mouse, [keys] and [colors]", path, left[0].String())
	}
	return nil
}
