// Package leak fails a package's tests when a goroutine outlives them.
package leak

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is how long what was told to stop may take to do so.
const patience = 5 * time.Second

// Main is a TestMain: it runs the tests and fails them if a goroutine of
// fleettop's then still runs, or one with any of theirs in its stack. One with
// any of spared in its stack may stay.
func Main(m *testing.M, theirs, spared []string) {
	code := m.Run()
	if left := leftOver(append(theirs, "fleettop/"), append(spared, "leak.Main(")); code == 0 && left != "" {
		fmt.Println("goroutines left behind:\n" + left)
		code = 1
	}
	os.Exit(code)
}

func leftOver(ours, spared []string) string {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		buf := make([]byte, 1<<20)
		var left []string
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			within := func(part string) bool { return strings.Contains(g, part) }
			if slices.ContainsFunc(ours, within) && !slices.ContainsFunc(spared, within) {
				left = append(left, g)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return strings.Join(left, "\n\n")
		}
	}
}
