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
	for text, want := range map[string]string{
		"theme = \"fifo\"":     "fifo.toml: it is a FIFO",
		"colours = 1":          `no setting "colours"`,
		"glyphs = \"braille\"": "choose full or ascii",
		"theme = \"none\"":     "the theme that",
		"[keys":                "config.toml",
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
