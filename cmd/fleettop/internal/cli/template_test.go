package cli

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"

	"fleettop/daemon/api/apitest"
)

const otherService = service + "Nice=5\n"

// hashes are those of the files that units' machines run, by unit.
func (s *shell) hashes() map[string]string {
	s.t.Helper()
	var rows []unitRow
	if err := json.Unmarshal([]byte(s.must("-o", "json", "list-units")), &rows); err != nil {
		s.t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range rows {
		got[r.Unit] = r.runs()
	}
	return got
}

// changedTemplate is a shell whose template was replaced after two instances had been started.
func changedTemplate(t *testing.T) (s *shell, before, after string) {
	t.Helper()
	s = newShell(t, 3)
	s.file("web@.service", service)
	s.must("submit", "web@.service")
	s.must("start", "web@1", "web@2")
	s.file("web@.service", otherService)
	code, out, errOut := s.try("submit", "--replace", "web@.service")
	const behind = "WARNING: web@1.service, web@2.service keep the earlier content of web@.service: `fleettop start --replace`"
	if code != 0 || out != "Unit web@.service replaced\n" || !strings.Contains(errOut, behind) {
		t.Errorf("submit --replace: %d\n%s%s", code, out, errOut)
	}
	s.must("start", "web@3")
	got := s.hashes()
	if got["web@1.service"] != got["web@2.service"] || got["web@3.service"] == got["web@1.service"] {
		t.Errorf("the new instance doesn't have the new content: %v", got)
	}
	return s, got["web@1.service"], got["web@3.service"]
}

// says runs a command line that has to work and has something to say.
func (s *shell) says(errSays string, args ...string) string {
	s.t.Helper()
	code, out, errOut := s.try(args...)
	if code != 0 || !strings.Contains(errOut, errSays) {
		s.t.Errorf("fleettop %s: exit %d, and doesn't say %q\n%s%s", strings.Join(args, " "), code, errSays, out, errOut)
	}
	return out
}

// TestVerbsSayWhoKeepsTheTemplate: no verb but --replace takes a template's
// new content, and each says so.
func TestVerbsSayWhoKeepsTheTemplate(t *testing.T) {
	s, before, after := changedTemplate(t)
	one := "WARNING: web@1.service keeps the template's earlier content (hash " + before[:7] + ", the template has " +
		after[:7] + "): `fleettop start --replace web@1.service` takes the new one\n"
	many := "WARNING: web@1.service, web@2.service keep their template's earlier content"
	if out := s.says(many, "restart", "web@*"); strings.Count(out, "restarted on") != 3 {
		t.Errorf("restart of the instances:\n%s", out)
	}
	for _, verb := range []string{"start", "load", "stop", "unload", "start", "restart"} {
		s.says(one, verb, "web@1")
	}
	s.says(one, "submit", "web@1.service")
	s.says("", "start", "web@1")
	if out := s.says("", "start", "web@3"); out != "Unit web@3.service launched on "+machineOf(s, "web@3.service")+"\n" {
		t.Errorf("start of one that has the new content: %s", out)
	}
	if got := s.hashes(); got["web@1.service"] != before {
		t.Errorf("it took the new content unasked: %v", got)
	}
	s.wants(s.must("status", "web@1"),
		"Template: it follows web@.service, one version behind ("+after[:7]+"): `fleettop start --replace web@1.service` takes the new one")
	s.wants(s.must("status", "web@3"), "Template: it follows web@.service\n")
	s.says("web@1.service follows web@.service, one version behind", "cat", "web@1")
	if code, out, errOut := s.try("cat", "web@3"); code != 0 || errOut != "" || out != otherService {
		t.Errorf("cat of one that has the new content: %d\n%s%s", code, out, errOut)
	}
	s.file("web@.service", otherService+"Nice=7\n")
	s.says("web@1.service, web@2.service, web@3.service keep the earlier", "submit", "--replace", "web@.service")
	s.wants(s.must("status", "web@1"), "Template: it follows web@.service, 2 versions behind (")
	s.file("web@.service", otherService)
	s.says("web@1.service, web@2.service keep the earlier", "submit", "--replace", "web@.service")
	s.wants(s.must("status", "web@3"), "Template: it follows web@.service\n")
	s.says("Their template's content is another now: web@1.service, web@2.service.", "list-unit-files")
	s.wants(s.must("list-unit-files", "--no-legend", "--fields=unit,template"),
		"web@1.service  another now ("+after[:7]+")", "web@3.service  same", "web@.service   -")
}

func machineOf(s *shell, unit string) string {
	return strings.TrimSpace(s.must("list-units", "--no-legend", "--fields=machine", unit))
}

// TestReplaceTakesTheTemplate: the verbs that take --replace give instances
// their template's new content, and restart what runs.
func TestReplaceTakesTheTemplate(t *testing.T) {
	for _, verb := range []string{"submit", "load", "start"} {
		t.Run(verb, func(t *testing.T) {
			s, _, after := changedTemplate(t)
			names := []string{"web@1.service", "web@2.service", "web@3.service"}
			if verb != "load" {
				names = []string{"web@*"}
			}
			out := s.must(append([]string{verb, "--replace"}, names...)...)
			did := map[string]string{"submit": "restarted", "load": "restarted", "start": "launched"}[verb]
			s.wants(out, "Unit web@1.service replaced, "+did+" on "+machineOf(s, "web@1.service"),
				"Unit web@2.service replaced, "+did)
			if strings.Contains(out, "web@3.service replaced") {
				t.Errorf("what had the new content is said to be replaced:\n%s", out)
			}
			for unit, hash := range s.hashes() {
				if hash != after {
					t.Errorf("%s runs %s, want %s", unit, hash, after)
				}
			}
			s.must("restart", "web@*") // nothing more to say
			s.must("list-unit-files")
		})
	}
	t.Run("of the same request", func(t *testing.T) {
		s, _, after := changedTemplate(t)
		s.file("web@.service", otherService+"Nice=6\n")
		s.wants(s.must("submit", "--replace", "web@.service", "web@1.service", "web@2.service", "web@3.service"),
			"Unit web@.service replaced\n")
		for unit, hash := range s.hashes() {
			if hash == after {
				t.Errorf("%s has the content of before", unit)
			}
		}
	})
	t.Run("while inactive", func(t *testing.T) {
		s, _, after := changedTemplate(t)
		s.says("keeps the template's earlier", "unload", "web@1")
		s.says("keeps the template's earlier", "start", "web@1")
		s.says("keeps the template's earlier", "unload", "web@1")
		if out := s.must("submit", "--replace", "web@1.service"); out != "Unit web@1.service replaced\n" {
			t.Errorf("submit --replace: %s", out)
		}
		s.must("start", "web@1")
		if got := s.hashes(); got["web@1.service"] != after {
			t.Errorf("it runs %v", got)
		}
	})
}

// TestOwnFileOfAnInstance: --replace leaves an instance that has a file of its own.
func TestOwnFileOfAnInstance(t *testing.T) {
	s, before, after := changedTemplate(t)
	s.file("web@1.service", service)
	s.must("submit", "web@1.service") // the same content, but a file of its own now
	if err := os.Remove("web@1.service"); err != nil {
		t.Fatal(err)
	}
	s.must("restart", "web@1")
	s.says("web@1.service has a file of its own, which its template doesn't replace", "start", "--replace", "web@1")
	s.file("own.service", service)
	s.must("start", "./own.service")
	if err := os.Remove("own.service"); err != nil {
		t.Fatal(err)
	}
	s.says("nothing replaces the content of own.service: give the file", "start", "--replace", "own.service")
	if got := s.hashes(); got["web@1.service"] != before {
		t.Errorf("it runs %v, not %s", got, before)
	}
	s.must("destroy", "web@1")
	apitest.Eventually(t, "it is gone", func() bool { return s.hashes()["web@1.service"] == "" })
	s.must("start", "web@1")
	if got := s.hashes(); got["web@1.service"] != after {
		t.Errorf("anew it runs %v, not %s", got, after)
	}
	s.must("destroy", "web@.service")
	s.says("nothing replaces the content of web@2.service: its template web@.service is not submitted", "start",
		"--replace", "web@2")
}

// TestInstanceOfAnotherTemplate: an instance that is made of a template's file here, and
// not of the one submitted, isn't like the others, which is said.
func TestInstanceOfAnotherTemplate(t *testing.T) {
	s, _, after := changedTemplate(t)
	s.must("start", "./web@4.service") // both are the same
	s.file("web@.service", otherService+"Nice=6\n")
	s.says("WARNING: web@5.service has the content of the file web@.service here, and not of the template submitted, "+
		"which differs (hash "+after[:7]+", the file has ", "start", "./web@5.service")
	s.says("`fleettop submit --replace ./web@.service` puts the file in its place", "load", "--replace", "./web@4.service")
}

// TestGlobsLeaveTemplates: what matches several means what can be done.
func TestGlobsLeaveTemplates(t *testing.T) {
	s := newShell(t, 1)
	s.file("web@.service", service)
	s.must("submit", "web@.service")
	s.fails(1, `only the template web@.service matches "web@*": name an instance, such as web@1.service`, "start", "web@*")
	for _, verb := range []string{"load", "start", "stop", "restart", "unload"} {
		s.fails(1, "web@.service is a template: "+verb+" an instance of it, such as web@1.service", verb, "./web@.service")
	}
	s.must("start", "web@1")
	if out := s.must("restart", "web@*"); out != "Unit web@1.service restarted on "+machineOf(s, "web@1.service")+"\n" {
		t.Errorf("restart of a glob: %s", out)
	}
	s.wants(s.must("destroy", "web@*"), "Destroyed web@.service", "Destroyed web@1.service")
}

// TestNameOrFile: a file is one that has a slash, or that exists and isn't submitted.
func TestNameOrFile(t *testing.T) {
	s := newShell(t, 1)
	s.file("a.service", service)
	s.says("Submitted a.service from the file ./a.service.", "start", "a")
	s.file("a.service", otherService)
	hash := s.hashes()["a.service"]
	s.says("WARNING: a.service is the one submitted, and not the file here, which differs", "start", "a")
	s.says("`fleettop load --replace ./a.service` puts the file in its place", "load", "a.service")
	for _, verb := range []string{"submit", "load", "start"} {
		s.fails(1, "a.service is already submitted with other content (hash "+hash[:7], verb, "./a.service")
		s.fails(1, "--replace puts the file in its place", verb, "./a.service")
	}
	if got := s.hashes(); got["a.service"] != hash {
		t.Errorf("it was replaced unasked: %v", got)
	}
	out := s.says("Submitted a.service from the file ./a.service.", "start", "--replace", "a")
	if out != "Unit a.service replaced, launched on "+machineOf(s, "a.service")+"\n" {
		t.Errorf("start --replace: %s", out)
	}
	s.must("start", "./a.service")

	// The template's file stands in for an instance's, by name and by path.
	s.file("t@.service", service)
	s.says("Submitted t@1.service from the file ./t@.service.", "start", "t@1")
	s.must("submit", "t@.service")
	s.file("t@.service", otherService)
	s.says("t@2.service is of the template submitted, and not of the file t@.service here", "start", "t@2")
	s.fails(1, "already submitted with other content", "start", "./t@1.service")
	s.wants(s.says("t@3.service has the content of the file t@.service here", "start", "./t@3.service"),
		"Unit t@3.service launched")

	// A file of the name that can't be read matters only where it is the only one.
	if err := remadeFIFO("a.service"); err != nil {
		t.Fatal(err)
	}
	s.must("start", "a")
	if err := remadeFIFO("b.service"); err != nil {
		t.Fatal(err)
	}
	s.fails(1, "it is a FIFO", "start", "b")
}

// remadeFIFO puts a FIFO where a file may have been.
func remadeFIFO(path string) error {
	_ = os.Remove(path) // it may not be there
	return syscall.Mkfifo(path, 0o600)
}
