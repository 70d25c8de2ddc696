package config

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/tui/theme/shipped"
)

func TestChangedFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	path, second := filepath.Join(dir, "config.toml"), 0
	write := func(name, text string) {
		second++ // the clock of the files may be too coarse for a test
		at := time.Date(2026, 3, 14, 12, 0, second, 0, time.UTC)
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	s, c, warnings := Open(path)
	if len(warnings) > 0 || c.Broken {
		t.Fatalf("no file: %q", warnings)
	}
	changes := func() *Config {
		t.Helper()
		c, warnings, changed := s.Poll()
		if !changed || len(warnings) > 0 {
			t.Fatalf("changed: %v, %q", changed, warnings)
		}
		if _, _, again := s.Poll(); again {
			t.Error("the same change is read twice")
		}
		return c
	}
	write("config.toml", "theme = \"dusk\"\n")
	if c, warnings, _ := s.Poll(); len(warnings) != 1 || !strings.Contains(warnings[0], "shipped are colour-blind, dark") {
		t.Errorf("a theme that isn't there: %+v, %q", c, warnings)
	}
	write("dusk.toml", "[colors]\ngood = \"blue\"\n")
	if c := changes(); c.Colors["good"] != "blue" {
		t.Errorf("the theme that came isn't read: %+v", c)
	}
	write("dusk.toml", "[colors]\ngood = \"bright-blue\"\n")
	if c := changes(); c.Colors["good"] != "bright-blue" {
		t.Errorf("the theme that changed isn't read: %+v", c)
	}
	write("config.toml", "[colors\n")
	if c, warnings, changed := s.Poll(); !changed || !c.Broken || len(warnings) != 1 {
		t.Errorf("a broken file: %+v, %q", c, warnings)
	}
	if c, warnings := s.Use("light"); len(warnings) != 1 || c.Theme != "light" {
		t.Errorf("a theme beside a broken file: %+v, %q", c, warnings)
	}
	write("config.toml", "")
	if c := changes(); c.Theme != "" {
		t.Errorf("a choice that failed is kept: %+v", c)
	}
	if c, _ := s.Use("light"); c.Colors["good"] != "22" {
		t.Errorf("the shipped theme is %+v", c)
	}
	write("light.toml", "[colors]\ngood = \"21\"\n")
	if c := changes(); c.Colors["good"] != "21" {
		t.Errorf("a file doesn't take the place of the shipped theme: %+v", c)
	}
}

func TestEveryShippedThemeIsRead(t *testing.T) {
	s, _, _ := Open("")
	for _, name := range shipped.Names() {
		c, warnings := s.Use(name)
		if len(warnings) > 0 || len(c.Colors) == 0 {
			t.Errorf("%s: %q", name, warnings)
		}
	}
	if _, warnings := s.Use("/etc/passwd"); len(warnings) != 1 || !strings.Contains(warnings[0], "there is no theme") {
		t.Errorf("without files of its own it reads one: %q", warnings)
	}
}

func TestFiltersAreSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "config.toml")
	for _, path := range []string{path, ""} {
		s, _, _ := Open(path)
		for name, text := range map[string]string{"trouble": "state=failed !web", `odd "name"`: `\d+`, "gone": "x"} {
			if err := s.SaveFilter(name, Filter{"units", text}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.SaveFilter("gone", Filter{}); err != nil {
			t.Fatal(err)
		}
		if path != "" {
			s, _, _ = Open(path)
		}
		got, err := s.Filters()
		want := map[string]Filter{"trouble": {"units", "state=failed !web"}, `odd "name"`: {"units", `\d+`}}
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %v, %v", path, got, err)
		}
	}
	s, _, _ := Open(path)
	if slices.Contains(s.Themes(), "filters") || !slices.Contains(s.Themes(), "high-contrast") {
		t.Errorf("the themes are %q", s.Themes())
	}
	file := filepath.Join(filepath.Dir(path), filtersFile)
	if err := os.WriteFile(file, []byte("[broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveFilter("a", Filter{"units", "b"}); err == nil {
		t.Error("a file that can't be read is written over")
	}
}

func TestClusters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	text := `cluster = "lab"
[clusters.prod]
host = ["ssh://core@n1", "ssh://core@n2"]
[clusters.lab]
endpoint = "http://10.0.0.1:7441"
[clusters.wrong]
endpoint = 1
[clusters.empty]
[clusters.odd]
host = "ssh://n1"
colour = "red"
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, warnings := Load(path)
	if c.Cluster != "lab" || len(c.Clusters) != 3 || len(c.Clusters["prod"].Hosts) != 2 ||
		c.Clusters["lab"].Endpoints[0] != "http://10.0.0.1:7441" || c.Clusters["odd"].Hosts[0] != "ssh://n1" {
		t.Errorf("read %+v", c)
	}
	all := strings.Join(warnings, "\n")
	for _, want := range []string{"clusters.wrong.endpoint is a text, or a list of texts",
		"clusters.empty has neither an endpoint nor a host", `clusters.odd has no "colour"`} {
		if !strings.Contains(all, want) {
			t.Errorf("%q isn't said: %q", want, warnings)
		}
	}
	if len(warnings) != 3 {
		t.Errorf("it warns %q", warnings)
	}
	if err := os.WriteFile(path, []byte("cluster = \"nowhere\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, warnings := Load(path); len(warnings) != 1 || !strings.Contains(warnings[0], "no [clusters.nowhere]") {
		t.Errorf("it warns %q", warnings)
	}
}
