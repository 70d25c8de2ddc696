package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// verbWord is a verb in a command that a message names.
var verbWord = regexp.MustCompile(`\x60(?:sudo )?fleettop ([a-z-]+)`)

// TestMessagesNameVerbsThatExist: a verb that some message tells people to use is there.
func TestMessagesNameVerbsThatExist(t *testing.T) {
	root := (&app{in: strings.NewReader(""), out: io.Discard, err: io.Discard}).root()
	verbs := map[string]bool{}
	for _, cmd := range root.Commands() {
		verbs[cmd.Name()] = true
	}
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
				for _, m := range verbWord.FindAllStringSubmatch(text, -1) {
					if !verbs[m[1]] {
						t.Errorf("%s: there is no verb %q: %q", set.Position(lit.Pos()), m[1], text)
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
