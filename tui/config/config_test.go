package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("dusk.toml", "[colors]\ngood = \"#88ff88\"\nbad = \"bold red\"\n")
	c, warnings := Load(write("config.toml",
		"theme = \"dusk\"\nmouse = true\n[keys]\nstop = [\"f8\"]\n[colors]\nbad = \"reverse\"\n"))
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	if !c.Mouse || c.Keys["stop"][0] != "f8" || c.Colors["good"] != "#88ff88" || c.Colors["bad"] != "reverse" {
		t.Errorf("read %+v", c)
	}
	if c, warnings := Load(filepath.Join(dir, "none.toml")); len(warnings) > 0 || len(c.Keys) > 0 {
		t.Errorf("no file is %+v, %q", c, warnings)
	}
	if _, warnings := Load("/dev/zero"); len(warnings) != 1 || !strings.Contains(warnings[0], "it is a device") {
		t.Errorf("a device was read as a configuration: %q", warnings)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo.toml"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, warnings = Load(write("config.toml", "mouse = \"yes\"\nglyphs = \"ascii\"\nthme = 1\n"+
		"[keys]\nstop = 1\nstart = \"f8\"\n[colors]\nbad = 1\ngood = \"red\""))
	if c.Mouse || c.Glyphs != "ascii" || len(c.Keys) != 1 || !slices.Equal(c.Keys["start"], []string{"f8"}) ||
		len(c.Colors) != 1 || c.Colors["good"] != "red" {
		t.Errorf("beside four faults, what is right is %+v", c)
	}
	if all := strings.Join(warnings, "\n"); len(warnings) != 4 || !strings.Contains(all, "mouse is true or false") ||
		strings.Contains(all, "incompatible") {
		t.Errorf("of four faults it is said: %q", warnings)
	}
	for text, want := range map[string]string{
		"theme = \"fifo\"":     "fifo.toml: it is a FIFO",
		"colours = 1":          `no setting "colours"`,
		"glyphs = \"braille\"": "choose full or ascii",
		"theme = \"none\"":     "the theme that",
		"[keys":                "config.toml",
		"theme = 1":            "theme is a text, such as \"dark\"",
		"[keys]\nstop = 1":     "keys.stop is a key, such as \"x\", or a list of keys",
		"[keys]\nstop = [1]":   "keys.stop is a key, such as \"x\", or a list of keys",
		"[colors]\ngood = 1":   "colors.good is a text, such as \"bold green\"",
		"keys = 1":             "keys is a table: write [keys] in a line of its own, and below it what belongs to it",
	} {
		c, warnings := Load(write("config.toml", "mouse = true\n"+text))
		if len(warnings) != 1 || !strings.Contains(warnings[0], want) {
			t.Errorf("%s: %q, want one warning with %q", text, warnings, want)
		}
		if !c.Mouse && text != "[keys" {
			t.Errorf("%s: the rest isn't taken", text)
		}
	}
}
