//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"fleettop/tui/tuitest"
)

// consoleEditor notes which of its descriptors are no terminal, waits for a
// line, and changes the file.
const consoleEditor = `#!/bin/sh
for f in 0 1 2; do test -t $f || echo "descriptor $f is no terminal" >>/tmp/notes; done
echo THE EDITOR
read line
echo "# $line" >>"$1"
`

// TestConsole has an operator sit at a machine: a file is edited, the machine's
// own daemon hangs and is back, and the terminal goes away.
func TestConsole(t *testing.T) {
	f := newFleet(t, 3, setup{})
	n1 := f.machines[0]
	f.start(n1, map[string]string{"web.service": sleeper()})
	f.must(n1.WriteFile("/root/editor", []byte(consoleEditor), 0o755))
	cmd := n1.Command(f.ctx, "fleettop")
	cmd.Env = append(cmd.Env, "TERM=xterm-256color", "EDITOR=/root/editor")
	screen, err := tuitest.StartPty(cmd, 120, 40)
	f.must(err)
	sees := func(text string) {
		t.Helper()
		f.must(screen.Await(text, soon))
	}
	sees("3/3 machines up")
	sees("1 active")

	f.must(screen.Type("2"))
	sees("web.service")
	f.must(screen.Type("e"))
	sees("THE EDITOR")
	f.must(screen.Type("edited by hand\n"))
	sees("+ # edited by hand")
	f.must(screen.Type("y"))
	sees("Applied web.service")
	if content := f.verb(n1, "cat", "web.service"); !strings.Contains(content, "# edited by hand") {
		t.Errorf("the file is\n%s", content)
	}
	if notes, err := n1.ReadFile("/tmp/notes"); err == nil {
		t.Errorf("the editor notes %q", notes)
	}
	if left := f.on(n1, "find", "/tmp", "-name", "fleettop-edit-*"); left != "" {
		t.Errorf("left behind: %s", left)
	}

	// A daemon that hangs is noticed, and another machine's is asked.
	began := time.Now()
	f.on(n1, "systemctl", "kill", "-s", "STOP", "fleettop")
	sees("The daemon doesn't answer")
	noticed := time.Since(began)
	f.must(screen.AwaitThat("what another machine's daemon says", soon,
		regexp.MustCompile(`fleettop +(2/3|3/3) machines up`).MatchString))
	t.Logf("a hung daemon is noticed after %.1f s, another machine's is asked after %.1f s", noticed.Seconds(),
		time.Since(began).Seconds())
	f.on(n1, "systemctl", "kill", "-s", "CONT", "fleettop")
	sees("3/3 machines up")

	// The terminal goes away.
	screen.HangUp()
	f.eventually("the console to end with its terminal", soon, func() error {
		if left := f.on(n1, "sh", "-c", "pgrep -x -a fleettop | grep -v daemon || true"); left != "" {
			return fmt.Errorf("there is still %s", left)
		}
		return nil
	})
	_ = screen.Close(soon)
}
