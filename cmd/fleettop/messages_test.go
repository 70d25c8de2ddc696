package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// otherFlags are flags of other programs that messages and command lines name, or parts of one.
var otherFlags = []string{"user", "system", "now", "quiet", "trusted-ca-file", "etcd-"}

var (
	flagWord = regexp.MustCompile(`(?:^|[\s(\x60,"'])--([a-z][a-z-]+)`)
	verbWord = regexp.MustCompile(`\x60(?:sudo )?fleettop ((?:[a-z-]+ ?)+)`)
)

// TestMessagesNameWhatExists: a flag or a verb that some message tells people to use is there.
func TestMessagesNameWhatExists(t *testing.T) {
	root := (&app{in: strings.NewReader(""), out: io.Discard, err: io.Discard}).root()
	flags, verbs := map[string]bool{"help": true}, map[string]bool{}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		verbs[strings.TrimPrefix(cmd.CommandPath(), "fleettop ")] = true
		for _, set := range []*pflag.FlagSet{cmd.Flags(), cmd.PersistentFlags()} {
			set.VisitAll(func(f *pflag.Flag) { flags[f.Name] = true })
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(root)
	for _, dir := range []string{"cmd/fleettop", "daemon", "cluster", "units", "tui", "journal"} {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, 0)
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
					return true
				}
				for _, m := range flagWord.FindAllStringSubmatch(text, -1) {
					if !flags[m[1]] && !slices.Contains(otherFlags, m[1]) {
						t.Errorf("%s: there is no flag --%s: %q", set.Position(lit.Pos()), m[1], text)
					}
				}
				for _, m := range verbWord.FindAllStringSubmatch(text, -1) {
					words := strings.Fields(m[1])
					if len(words) > 0 && !verbs[words[0]] {
						t.Errorf("%s: there is no verb %q: %q", set.Position(lit.Pos()), words[0], text)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
