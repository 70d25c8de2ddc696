package main

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"fleettop/cmd/fleetlab/lab"
)

func TestDaemonOptions(t *testing.T) {
	first := &lab.Machine{Name: "n1", IP: netip.MustParseAddr("198.18.7.1")}
	second := &lab.Machine{Name: "n2", IP: netip.MustParseAddr("198.18.7.2")}
	for _, c := range []struct {
		m    *lab.Machine
		more string
		want string
	}{
		{first, "", "--address 198.18.7.1"},
		{second, "", "--address 198.18.7.2 --join 198.18.7.1"},
		{second, "--metadata rack={name},ip={ip}", "--address 198.18.7.2 --join 198.18.7.1 --metadata rack=n2,ip=198.18.7.2"},
	} {
		if got := daemonOptions(c.m, first, c.more); got != c.want {
			t.Errorf("daemonOptions(%s, %q) = %q, want %q", c.m.Name, c.more, got, c.want)
		}
	}
}

// TestCommandLine runs verbs as far as they go without root and without a lab.
func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		line string
		out  string // what it says, or
		err  string // what it fails with
	}{
		{line: "down --name nosuchlab", out: "lab nosuchlab is not up"},
		{line: "kill n1 --name nosuchlab", err: "fleetlab up"},
		{line: "kill --name nosuchlab", err: "at least 1 arg"},
		{line: "slow n1 50 --name nosuchlab", err: "50ms"},
		{line: "slow n1 50ms 5ms --name nosuchlab", err: "not up"},
		{line: "lossy n1 much --name nosuchlab", err: "0 to 100"},
		{line: "up --name no-such", err: "lower-case letters"},
		{line: "up --fleettop /nosuch/binary", err: "make build"},
		{line: "install /nosuch/binary", err: "make build"},
		{line: "shell n1 --name nosuchlab", err: "not up"},
		{line: "--help", out: "freeze"},
	} {
		cmd := command()
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		// Put the lab's name first: after a shell's machine come the flags of its command.
		words := strings.Fields(c.line)
		if i := len(words) - 2; i >= 0 && words[i] == "--name" {
			words = append(words[i:], words[:i]...)
		}
		cmd.SetArgs(words)
		err := cmd.ExecuteContext(t.Context())
		switch {
		case c.err == "" && err != nil:
			t.Errorf("%s: %v", c.line, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v; want an error with %q", c.line, err, c.err)
		case !strings.Contains(out.String(), c.out):
			t.Errorf("%s said %q, want %q", c.line, out.String(), c.out)
		}
	}
}

func TestLine(t *testing.T) {
	if got := (&app{name: "lab"}).line("down"); got != "fleetlab down" {
		t.Error(got)
	}
	if got := (&app{name: "b"}).line("down"); got != "fleetlab --name b down" {
		t.Error(got)
	}
}
