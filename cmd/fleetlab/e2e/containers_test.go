//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fleettop/cmd/fleetlab/lab"
)

// post writes unit files that CoreOS published to show what fleet does to a
// machine, as they are, and returns their paths.
func (f *fleet) post(m *lab.Machine, names ...string) []string {
	f.t.Helper()
	files := map[string]string{}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join("testdata", "posts", name))
		f.must(err)
		files[name] = string(content)
	}
	return f.write(m, files)
}

// TestContainer runs the container of "Launching containers with fleet" from
// the guide's own file: its machine loses its power, the container runs
// elsewhere, and whoever follows its log reads on.
func TestContainer(t *testing.T) {
	f := newContainerFleet(t, 3, map[string]image{"library/busybox": {}})
	n1 := f.machines[0]
	f.verb(n1, "cordon", n1.Name) // it has the registry
	f.verb(n1, append([]string{"start"}, f.post(n1, "myapp.service")...)...)
	victim := f.home("myapp.service")
	if names := f.containers(victim, "running"); !slices.Equal(names, []string{"busybox1"}) {
		t.Fatalf("%s runs the containers %q", victim.Name, names)
	}
	hello := func(m *lab.Machine) string { return " " + m.Name + " docker[" }
	v := f.follow(n1, "--lines=all", "myapp.service")
	f.eventually("its log to have three lines of the container", soon, func() error {
		return greets(v.lines(), hello(victim), 3)
	})

	died, err := victim.Kill()
	f.must(err)
	to, outage := f.movedTo("myapp.service", victim, died, soon)
	t.Logf("myapp.service %s -> %s, outage %.3f s, which a pull of the image is part of", victim.Name, to.Name,
		outage.Seconds())
	f.eventually("the log to go on with the container's lines", soon, func() error {
		lines := v.lines()
		divider := slices.IndexFunc(lines, dividerForm.MatchString)
		if divider < 0 {
			return errors.New("no divider tells of the move")
		}
		return errors.Join(greets(lines[:divider], hello(victim), 3), greets(lines[divider:], hello(to), 3))
	})
	if names := f.containers(to, "running"); !slices.Equal(names, []string{"busybox1"}) {
		t.Errorf("%s runs the containers %q", to.Name, names)
	}
	f.procs.neverTwice(t)

	// The dead machine's disk still has a container of that name.
	f.must(victim.Boot(f.ctx))
	f.must(victim.WaitBooted(f.ctx))
	f.settled(f.machines...)
	if names := f.containers(victim, "running"); len(names) != 0 {
		t.Errorf("%s, back, runs the containers %q", victim.Name, names)
	}
	f.verb(n1, "drain", to.Name)
	f.eventually("myapp.service to run on "+victim.Name+" alone", soon, func() error {
		if on := f.procs.running("myapp.service"); len(on) != 1 || on[0] != victim {
			return fmt.Errorf("it runs on %d", len(on))
		}
		return nil
	})
	if names := append(f.containers(to, "running"), f.containers(victim, "running")...); !slices.Equal(names,
		[]string{"busybox1"}) {
		t.Errorf("after the drain there run the containers %q", names)
	}
}

// greets returns an error unless so many lines are the container's, of the machine whose lines begin so.
func greets(lines []string, prefix string, n int) error {
	found := 0
	for _, l := range lines {
		if strings.Contains(l, prefix) && strings.HasSuffix(l, "]: Hello World") {
			found++
		}
	}
	if found < n {
		return fmt.Errorf("%d of %d lines: %q", found, n, lines)
	}
	return nil
}

// apache stands in for Apache in the guide's image: a web server that ends when it is told to.
const apache = "#!/bin/sh\n[ \"$*\" = '-D FOREGROUND' ] || exit 2\n" +
	"trap 'kill $!; exit 0' TERM\nhttpd -f -p 80 -h /var/www &\nwait\n"

// TestSidekick runs the second example of the guide from its own files: two
// instances of a web server in containers, never on one machine, each with a
// unit beside it that announces where it is.
func TestSidekick(t *testing.T) {
	f := newContainerFleet(t, 3, map[string]image{"coreos/apache": {
		"usr/sbin/apache2ctl": apache, "var/www/index.html": "It works!\n"}})
	n1 := f.machines[0]
	f.verb(n1, "cordon", n1.Name) // it has the registry
	f.verb(n1, append([]string{"submit"}, f.post(n1, "apache@.service", "apache-discovery@.service")...)...)
	for _, verb := range []string{"apache@1", "apache@2", "apache-discovery@1", "apache-discovery@2"} {
		f.verb(n1, "start", verb)
	}
	if f.home("apache@1.service") == f.home("apache@2.service") {
		t.Error("both web servers are on one machine")
	}
	f.announced("1", "2")

	victim, stays := f.home("apache@2.service"), f.home("apache@1.service")
	before := f.procs.snapshot()
	f.verb(n1, "uncordon", n1.Name)
	died, err := victim.Kill()
	f.must(err)
	to, outage := f.movedTo("apache@2.service", victim, died, soon)
	t.Logf("apache@2.service %s -> %s, outage %.3f s, which a pull of the image is part of", victim.Name, to.Name,
		outage.Seconds())
	if to == stays {
		t.Errorf("apache@2.service moved to %s, which has apache@1.service", to.Name)
	}
	f.announced("1", "2")
	f.procs.unchanged(t, before, victim)

	f.verb(n1, "stop", "apache@2")
	f.eventually("apache-discovery@2 to end with what it announces", soon, func() error {
		if _, err := to.ReadFile("/run/announced/services/website/apache@2"); err == nil {
			return errors.New("it is announced")
		}
		return nil
	})
	f.announced("1")
	f.procs.neverTwice(t)
}

// announced waits until each of these instances answers on its machine, and is announced there.
func (f *fleet) announced(instances ...string) {
	f.t.Helper()
	for _, i := range instances {
		home := f.home("apache@" + i + ".service")
		if beside := f.home("apache-discovery@" + i + ".service"); beside != home {
			f.t.Errorf("apache@%s is on %s, what announces it on %s", i, home.Name, beside.Name)
		}
		f.eventually("apache@"+i+" to be announced and to answer", soon, func() error {
			said, err := home.ReadFile("/run/announced/services/website/apache@" + i)
			if want := `{ "host": "` + home.Name + `", "port": 80, "version": "52c7248a14" }` + "\n"; err != nil ||
				string(said) != want {
				return fmt.Errorf("announced is %q (%v), not %q", said, err, want)
			}
			page, err := f.page(home)
			if err == nil && page != "It works!\n" {
				err = fmt.Errorf("it answers %q", page)
			}
			return err
		})
	}
}

// page fetches what a machine's web server has at its root.
func (f *fleet) page(m *lab.Machine) (string, error) {
	client := http.Client{Transport: &http.Transport{DialContext: f.lab.Dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(f.ctx, http.MethodGet, "http://"+net.JoinHostPort(m.IP.String(), "80")+"/", nil)
	f.must(err)
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
