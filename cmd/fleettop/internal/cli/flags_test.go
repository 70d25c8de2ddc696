package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// otherFlags are those of other programs that strings here name or pass.
var otherFlags = map[string]string{"user": "systemctl", "system": "systemctl", "now": "systemctl", "quiet": "systemctl",
	"trusted-ca-file": "etcd", "unix-socket": "curl", "driver": "fleetctl", "tunnel": "fleetctl", "raw": "the console's save"}

var usageLine = regexp.MustCompile(`(?m)^ +(?:-\w, )?--([a-z][a-z0-9-]*)`)

// flagsOf are the flags of a verb and those below it.
func flagsOf(c *cobra.Command, known map[string]bool) {
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	for _, m := range usageLine.FindAllStringSubmatch(c.Flags().FlagUsages()+c.PersistentFlags().FlagUsages(), -1) {
		known[m[1]] = true
	}
	for _, sub := range c.Commands() {
		flagsOf(sub, known)
	}
}

var flagWord = regexp.MustCompile(`(?:^|[^-\w])--([a-z][a-z0-9-]*[a-z0-9])`)

// TestMessagesNameFlagsThatExist looks at every string of the program.
func TestMessagesNameFlagsThatExist(t *testing.T) {
	a := &app{env: &ownProcess{}, in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	known := map[string]bool{}
	flagsOf(a.root(), known)
	if !known["state-dir"] || !known["help"] || !known["request-timeout"] {
		t.Fatalf("the verbs' flags were not found: %v", known)
	}
	used := map[string]bool{}
	look := func(where, text string) {
		for _, m := range flagWord.FindAllStringSubmatch(text, -1) {
			switch flag := m[1]; {
			case known[flag]:
			case otherFlags[flag] == "":
				t.Errorf("%s: there is no --%s in %q", where, flag, text)
			default:
				used[flag] = true
			}
		}
	}
	readme, err := os.ReadFile("../../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(readme)) {
		look("README.md", line)
	}
	eachString(t, look)
	for flag, of := range otherFlags {
		if !used[flag] {
			t.Errorf("--%s of %s is named nowhere", flag, of)
		}
	}
}

// eachString calls f for every string in the program's own code, tests left out.
func eachString(t *testing.T, f func(where, text string)) {
	t.Helper()
	for _, dir := range []string{"cmd/fleettop", "daemon", "cluster", "units", "journal", "tui"} {
		err := filepath.WalkDir(filepath.Join("../../../..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Errorf("%s: %v", files.Position(lit.Pos()), err)
				}
				f(files.Position(lit.Pos()).String(), text)
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
