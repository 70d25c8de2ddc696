package config

import (
	"os"
	"path/filepath"
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
	c, err := Load(write("config.toml", "theme = \"dusk\"\nmouse = true\n[keys]\nstop = [\"f8\"]\n[colors]\nbad = \"reverse\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Mouse || c.Keys["stop"][0] != "f8" || c.Colors["good"] != "#88ff88" || c.Colors["bad"] != "reverse" {
		t.Errorf("read %+v", c)
	}
	if _, err := Load("/dev/zero"); err == nil || !strings.Contains(err.Error(), "it is a device") {
		t.Errorf("a device was read as a configuration: %v", err)
	}
	if c, err := Load(filepath.Join(dir, "none.toml")); err != nil || len(c.Keys) > 0 {
		t.Errorf("no file is %+v, %v", c, err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo.toml"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"theme = \"fifo\"":     "fifo.toml: it is a FIFO",
		"colours = 1":          `no setting "colours"`,
		"glyphs = \"braille\"": "choose full or ascii",
		"theme = \"none\"":     "the theme that",
		"[keys":                "config.toml",
	} {
		if _, err := Load(write("config.toml", text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
