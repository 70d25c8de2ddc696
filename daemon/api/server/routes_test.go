package server

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestRoutesAreDocumented: the list in package api's documentation is that of
// the routes, and each is there once.
func TestRoutesAreDocumented(t *testing.T) {
	raw, err := os.ReadFile("../doc.go")
	if err != nil {
		t.Fatal(err)
	}
	seen, documented := map[string]bool{}, 0
	for _, r := range New(Config{}).routes() {
		if seen[r.method+r.path] {
			t.Errorf("%s %s is there twice", r.method, r.path)
		}
		if seen[r.method+r.path] = true; r.method == "" {
			continue
		}
		documented++
		url := r.path
		if r.query != "" {
			url += "?" + r.query
		}
		if want := fmt.Sprintf("//\t%-6s %s\n//\t       %s\n", r.method, url, r.doc); !strings.Contains(string(raw), want) {
			t.Errorf("doc.go lacks:\n%s", want)
		}
	}
	if n := strings.Count(string(raw), "//\t       "); n != documented {
		t.Errorf("doc.go has %d routes, there are %d", n, documented)
	}
}
