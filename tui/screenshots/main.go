// Command screenshots runs fleettop's demo on a terminal of its own, lets a
// machine die, and draws what the console shows as SVG:
//
//	go run ./tui/screenshots -fleettop bin/fleettop -out tui/screenshots
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"fleettop/tui/tuitest"
)

const patience = 30 * time.Second

// service takes a moment to start, so that a move can be seen.
const service = `[Unit]
Description=A web server, instance %i

[Service]
ExecStartPre=/bin/sleep 0.7
ExecStart=/bin/sh -c 'while :; do echo "GET /things/%i 200"; sleep 1; done'
Restart=always

[X-Fleet]
# spread over the machines by itself
`

func main() {
	binary := flag.String("fleettop", "bin/fleettop", "the program to run")
	out := flag.String("out", "tui/screenshots", "where the pictures go")
	flag.Parse()
	if err := shoot(*binary, *out); err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

// photographer drives one console.
type photographer struct {
	*tuitest.Pty
	out string
}

func shoot(binary, out string) (err error) {
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "shots")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	cmd := exec.Command(binary, "demo")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "HOME="+tmp, "XDG_CONFIG_HOME=", "TERM=xterm-256color", "NO_COLOR=",
		"LANG=C.UTF-8")
	pty, err := tuitest.StartPty(cmd, 110, 34)
	if err != nil {
		return err
	}
	p := &photographer{pty, out}
	defer func() {
		err = errors.Join(err, p.Type("q"), p.Close(patience))
	}()
	if err := p.Await("any one machine may die", patience); err != nil {
		return err
	}
	if err := startMore(binary, tmp); err != nil {
		return err
	}
	return p.story()
}

// startMore starts units beside the demo's own.
func startMore(binary, tmp string) error {
	sockets, err := filepath.Glob(filepath.Join(tmp, "*", "n1", "run", "fleettop.sock"))
	if err != nil || len(sockets) != 1 {
		return fmt.Errorf("the demo's socket is not below %s: %v", tmp, err)
	}
	file := filepath.Join(tmp, "web@.service")
	if err := os.WriteFile(file, []byte(service), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{{"submit", file}, {"start", "web@1.service", "web@2.service", "web@3.service",
		"web@4.service", "web@5.service", "web@6.service"}} {
		cmd := exec.Command(binary, append([]string{"--endpoint=unix://" + sockets[0]}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("fleettop %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// story goes through the screens, with a machine that dies in between.
func (p *photographer) story() error {
	steps := []struct {
		keys string
		sees string // a regular expression
		shot string
		film time.Duration // how long it is filmed first; 0 for not at all
	}{
		{"", `● 9 active[\s\S]*cpu +\S+ +\d`, "", 0},
		{"\x1b[C\x1b[C", `web@6 +[4-9]s`, "overview", 0}, // they have logged something by then
		{"K", `failed \d[\s\S]*n3 → n\d \d\.\d+ ?s`, "failure", 9 * time.Second},
		{"2", `UNIT +STATE[\s\S]*n3 → n\d \d\.\d+ ?s[\s\S]*n3 → n\d \d\.\d+ ?s`, "units", 0},
		{"4", `units moved · worst outage[^\n]*detect`, "timeline", 0},
		{":open web@3.service\r", `Recent states[\s\S]*GET /things`, "unit", 0},
		{"lg", `── [^\n]*n\d[\s\S]*only errors`, "logs", 0},
		{":power-on n3\r2", `3/3 machines up`, "", 0},
		{"*D", `Destroy \d+ units`, "dialog", 0},
		{"\x1b", `2 units`, "", 0},
	}
	for _, s := range steps {
		if err := p.Type(s.keys); err != nil {
			return err
		}
		if s.film > 0 {
			frames := p.film(s.film)
			if err := p.write(s.shot+"-moving.svg", movingSVG(frames, s.film)); err != nil {
				return err
			}
		}
		re := regexp.MustCompile(s.sees)
		if err := p.AwaitThat(s.sees, patience, re.MatchString); err != nil {
			return err
		}
		if s.shot == "" {
			continue
		}
		if err := p.write(s.shot+".svg", svg(p.Cells())); err != nil {
			return err
		}
	}
	return nil
}

func (p *photographer) write(name, picture string) error {
	name = filepath.Join(p.out, name)
	if err := os.WriteFile(name, []byte(picture), 0o644); err != nil {
		return err
	}
	fmt.Println(name)
	return nil
}
